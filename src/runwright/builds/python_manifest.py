"""Read the manifests of python: requirements.txt and the header of a script (PEP 723)."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from runwright.builds.errors import RefusedEntry

FILE: Final = "requirements.txt"
HEADER_FILE: Final = "script-requirements.txt"
"""The file for the header's requirements; a bundle's file of that name is never read."""

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT: Final = re.compile(rf"({_NAME})\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*(.*)")
_VERSIONS: Final = re.compile(r"\(?[\s,<>=!~0-9A-Za-z.*+_-]*\)?")
_HASH: Final = re.compile(r"\s--hash[= ]\s*[a-z0-9]+:[0-9a-fA-F]+(?=\s|$)")
_NESTED: Final = re.compile(r"(?:-r|-c|--requirement|--constraint)[= ]?\s*(\S.*)")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_CLAUSE: Final = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?")
_MAX_FILES: Final = 20
_ALLOWED_OPTIONS: Final = ("--require-hashes",)
_IGNORED_OPTIONS: Final = re.compile(r"--prefer-binary|--only-binary[= ]\s*\S+|--use-feature[= ]\s*\S+")
"""Options of pip that change nothing here: only wheels are installed, unless the operator allows more."""
_INDEX_OPTIONS: Final = re.compile(
    r"-i|-f|--(?:index-url|extra-index-url|no-index|find-links|trusted-host|proxy|cert|client-cert)"
)

Text = Callable[[str], str | None]
Allowed = Callable[[str], bool]


def read_requirements(entrypoint: str, text: Text, *, allowed: Allowed) -> tuple[dict[str, str], str | None]:
    """Return the files for uv and the python version that the header requires."""
    files: dict[str, str] = {}
    if text(FILE) is not None:
        _collect(FILE, text, files, allowed)
    if not any(files.values()):
        files = {}
    header = _header(text(entrypoint) or "") if entrypoint.endswith(".py") else None
    if header is None:
        return files, None
    where = f"The header of {entrypoint}"
    dependencies, requires = header.get("dependencies", []), header.get("requires-python")
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise RefusedEntry(f"{where}: dependencies is not a list of strings")
    if requires is not None and not isinstance(requires, str):
        raise RefusedEntry(f"{where}: requires-python is not a string")
    for item in dependencies:
        if "\n" in item or "\r" in item or "--" in item:
            raise RefusedEntry(f"{where}: {item.split()[0]!r} is not a requirement")
        _check(item.strip(), where, allowed)
    if dependencies:
        files[HEADER_FILE] = "".join(f"{item}\n" for item in dependencies)
    return files, requires


def satisfies_python(version: str, requires: str) -> bool:
    """Return whether a python version satisfies a `requires-python`."""
    have = tuple(map(int, version.split(".")))
    for clause in filter(None, (part.strip() for part in requires.split(","))):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise RefusedEntry(f"requires-python {requires!r} is not understood")
        required = tuple(map(int, match[2].split(".")))
        if not _holds(have, match[1], required, prefix=match[3] is not None):
            return False
    return True


def _holds(have: tuple[int, ...], operator: str, required: tuple[int, ...], *, prefix: bool) -> bool:
    size = max(len(have), len(required))
    left, right = (part + (0,) * (size - len(part)) for part in (have, required))
    same = have[: len(required)] == required if prefix else left == right
    return {
        "==": same,
        "!=": not same,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "~=": left >= right and have[: len(required) - 1] == required[:-1],
    }[operator]


def _collect(name: str, text: Text, files: dict[str, str], allowed: Allowed) -> None:
    """Add a file and the files that it includes."""
    if name in files:
        return
    content = text(name)
    if content is None:
        raise RefusedEntry(f"{name} is not in the bundle")
    if len(files) >= _MAX_FILES:
        raise RefusedEntry(f"more than {_MAX_FILES} files of requirements")
    lines = list(_lines(content))
    # Rewritten, so that uv sees exactly the lines that were checked.
    files[name] = "".join(f"{line}\n" for _, line in lines if not _IGNORED_OPTIONS.fullmatch(line))
    for number, line in lines:
        where = f"{name}, line {number}"
        nested = _NESTED.fullmatch(line)
        if nested is not None:
            _collect(_resolve_include(name, nested[1].strip(), where), text, files, allowed)
        elif line not in _ALLOWED_OPTIONS and not _IGNORED_OPTIONS.fullmatch(line):
            _check(line, where, allowed)


def _resolve_include(name: str, path: str, where: str) -> str:
    """Return the path inside the bundle of a file that another one includes by a relative path."""
    parts: list[str] = [*PurePosixPath(name).parts[:-1]]
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part in {"", ".."} or "\\" in part or ":" in part:
            raise RefusedEntry(f"{where}: {path!r} is outside the bundle")
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each logical line, without comments."""
    joined, first = "", 0
    for number, raw in enumerate(content.splitlines(), 1):
        first = first or number
        joined += raw.removesuffix("\\")
        if raw.endswith("\\"):
            continue
        line = _COMMENT.sub("", joined).strip()
        if line:
            yield first, line
        joined, first = "", 0
    if line := _COMMENT.sub("", joined).strip():
        yield first, line


def _check(line: str, where: str, allowed: Allowed) -> None:
    """Refuse a requirement that uv would look for outside of the operator's index."""
    line = _HASH.sub("", line).strip()
    option = line.startswith("-") or " --" in line
    if option:
        word = line if line.startswith("-") else line[line.index(" --") + 1 :]
        word = word.replace("=", " ").split()[0]
        why = (
            "the operator chooses the index" if _INDEX_OPTIONS.fullmatch(word) else "it is not supported here"
        )
        raise RefusedEntry(f"{where}: the option {word} is not allowed; {why}")
    requirement, _, _ = line.partition(";")
    match = _REQUIREMENT.fullmatch(requirement.strip())
    if match is None or "://" in requirement.partition("@")[0]:
        raise RefusedEntry(f"{where}: {line!r} is not a requirement by name, which is all that is installed")
    rest = match[2]
    if rest.startswith("@"):
        url = rest[1:].strip()
        if not url.startswith("https://") or not allowed(url):
            raise RefusedEntry(
                f"{where}: {match[1]} is to come from {url!r}, which is not the operator's registry"
            )
    elif not _VERSIONS.fullmatch(rest):
        raise RefusedEntry(f"{where}: {line!r} is not a requirement by name, which is all that is installed")


def _header(source: str) -> dict[str, object] | None:
    """Return the script block at the top of a file; None where there is none."""
    content: list[str] | None = None
    blocks: list[str] = []
    for line in source.splitlines():
        if content is None:
            content = [] if line.rstrip() == "# /// script" else None
        elif line.rstrip() == "# ///":
            blocks.append("\n".join(content))
            content = None
        elif line == "#" or line.startswith("# "):
            content.append(line[2:])
        else:
            content = None
    if not blocks:
        return None
    if len(blocks) > 1:
        raise RefusedEntry("The script has more than one header")
    try:
        return tomllib.loads(blocks[0])
    except tomllib.TOMLDecodeError as error:
        raise RefusedEntry(f"The header of the script is not TOML: {error}") from error
