"""The commands that a Markdown page prints, and a shell that runs them as a reader would type them.

Fenced `bash` and `console` blocks are run, but those with a title, which are files; of a `console` block, the lines
after a `$`. A comment before a block
changes that: `<!-- not run: REASON -->`; `<!-- until: TEXT -->` for a command that runs until it is interrupted,
which happens when it has printed the text; `<!-- exit: 22 -->` for commands that end with this status. `job_…` is
the id that was printed last.
"""

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

STATEMENT_SECONDS: Final = 180.0
_FENCE: Final = re.compile(r"^( *)```+ *(\w*)(.*)$")
_MARKER: Final = re.compile(r"^ *<!-- (not run|until|exit): (.+?) -->$")
_ID: Final = re.compile(r"\b([a-z]{2,5}[_-])([0-9a-z]{16,})\b")
_PLACEHOLDER: Final = re.compile(r"\b([a-z]{2,5}[_-])…")

# Sources one file after the other, so that functions, variables and the folder stay, and reports each status.
_LOOP: Final = """
set -o pipefail
while IFS= read -r file <&{requests}; do
  source "$file" >"${{file%.sh}}.out" 2>&1 </dev/null {requests}<&- {answers}>&-
  printf '%d\\n' "$?" >&{answers}
done
"""


class Statement(NamedTuple):
    """A command as it is printed, with where it begins."""

    line: int
    text: str
    until: str | None = None
    """Runs until it is interrupted, which is done when it has printed this."""
    status: int = 0
    """The exit status that it has to end with."""


class Skipped(NamedTuple):
    """A block that is not run."""

    line: int
    reason: str


def read_page(text: str) -> tuple[list[Statement], list[Skipped]]:
    """Return the commands that a page prints, and the blocks that its markers leave out."""
    statements: list[Statement] = []
    skipped: list[Skipped] = []
    for line, language, marker, body in _blocks(text.splitlines()):
        if language not in {"bash", "console", "sh"}:
            continue
        if marker is not None and marker[1] == "not run":
            skipped.append(Skipped(line, marker[2]))
            continue
        kind, value = (None, "") if marker is None else marker.groups()
        until, status = value if kind == "until" else None, int(value) if kind == "exit" else 0
        lines = list(_typed(body)) if language == "console" else list(enumerate(body))
        statements += [Statement(line + 1 + at, command, until, status) for at, command in _statements(lines)]
    return statements, skipped


def _blocks(lines: list[str]) -> Iterator[tuple[int, str, re.Match[str] | None, list[str]]]:
    """Yield each fenced block: the number of its first line, its language, its marker, its lines."""
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None and fence is not None:
            opened = (number, fence[1], "file" if "title=" in fence[3] else fence[2])
        elif opened is not None and fence is not None and fence[1] == opened[1] and not fence[2]:
            at, indent, language = opened
            before = next((one for one in reversed(lines[: at - 1]) if one.strip()), "")
            body = [one.removeprefix(indent) for one in lines[at : number - 1]]
            yield at, language, _MARKER.match(before), body
            opened = None


def _typed(body: list[str]) -> Iterator[tuple[int, str]]:
    """Yield what is typed at the prompts of a terminal session: `$`, and `>` for the lines that continue it."""
    continues = False
    for at, line in enumerate(body):
        if line.startswith("$ ") or (continues and line.startswith("> ")):
            continues = True
            yield at, line[2:]
        else:
            continues = False


def _statements(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Put lines together until bash finds a complete statement in them."""
    begun: list[str] = []
    start = 0
    for at, line in lines:
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start if begun else at
        begun.append(line)
        text = "\n".join(begun)
        if _is_complete(text):
            yield start, text
            begun = []
    if begun:
        yield start, "\n".join(begun)  # bash says what is wrong with it


def _is_complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return checked.returncode == 0 and "here-document" not in checked.stderr


class PrintedCommandError(AssertionError):
    """A printed command that does not work."""


class Shell:
    """A bash that keeps its state from one statement to the next. Use it as a context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str], replaced: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._replaced = replaced
        self._last_ids: dict[str, str] = {}
        self._count = 0

    def __enter__(self) -> Self:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        work = self._folder / "work"
        work.mkdir(parents=True)
        script = _LOOP.format(requests=requests, answers=answers)
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=work,
            env=dict(self._environment),
            pass_fds=(requests, answers),
            start_new_session=True,
        )
        os.close(requests)
        os.close(answers)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._requests)
        os.close(self._answers)
        os.killpg(self._bash.pid, signal.SIGKILL)  # also what was left in the background
        self._bash.wait()

    def run(self, statement: Statement) -> str:
        """Run a statement and return what it printed; PrintedCommandError if it fails."""
        text = self._filled(statement.text)
        self._count += 1
        output = self._folder / f"{self._count}.out"
        try:
            if statement.until is None:
                status = self._run(text, output)
            else:
                status = self._run_until(statement.until, text, output)
        except TimeoutError:
            status = -1
        printed = output.read_text(errors="replace") if output.exists() else ""
        if status != statement.status:
            what = f"exit status {status}" if status >= 0 else f"not done after {STATEMENT_SECONDS:.0f} s"
            raise PrintedCommandError(f"line {statement.line}: {what}\n$ {text}\n{printed}")
        self._last_ids |= {prefix: prefix + rest for prefix, rest in _ID.findall(printed)}
        return printed

    def _filled(self, text: str) -> str:
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        return _PLACEHOLDER.sub(lambda found: self._last_ids.get(found[1], found[0]), text)

    def _run(self, text: str, output: Path) -> int:
        script = output.with_suffix(".sh")
        script.write_text(text + "\n")
        os.write(self._requests, f"{script}\n".encode())
        return int(_read_within(self._answers, STATEMENT_SECONDS))

    def _run_until(self, awaited: str, text: str, output: Path) -> int:
        """Run a command in the background, and interrupt it when it has printed a text."""
        pipe = output.with_suffix(".pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # With job control, the command is a group of its own that does not ignore interrupts.
            self._run(f"set -m; {text} >'{pipe}' 2>&1 & PRINTED=$!; set +m", output.with_suffix(".start.out"))
            printed = b""
            while awaited.encode() not in printed:
                chunk = _read_within(reader, STATEMENT_SECONDS)
                printed += chunk
                output.write_bytes(printed)
                if not chunk:
                    return 1
            return self._run("kill -INT -- -$PRINTED", output.with_suffix(".end.out"))
        finally:
            os.close(reader)


def _read_within(descriptor: int, seconds: float) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        raise TimeoutError
    return os.read(descriptor, 65536)
