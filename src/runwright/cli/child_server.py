"""A server that a command starts and stops: its process, its log, and the line that says it is ready."""

import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from runwright.cli.exits import CommandError, ExitCode

START_SECONDS: Final = 120.0
"""The first start creates a database."""

STOP_SECONDS: Final = 15.0
_READY: Final = b"runwright ready "
_SHOWN_LINES: Final = 5


@contextlib.contextmanager
def child_server(arguments: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run `runwright serve` with arguments for the length of the block, and yield its URL once it is ready.

    CommandError with the end of its log if it does not start.
    """
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwright", "serve", "--processes", "1", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,  # Ctrl-C is for this command, which then stops the server
        )
    try:
        yield _await_ready(process, log)
    finally:
        _stop(process)


def _await_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    assert process.stdout is not None  # noqa: S101  a pipe, as started
    found: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_until_ready, args=(process.stdout, found), daemon=True).start()
    url = None
    with contextlib.suppress(queue.Empty):
        url = found.get(timeout=START_SECONDS)
    if url is None:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_SHOWN_LINES:]
        raise CommandError(
            "The server did not start: " + ("\n".join(last) or "it printed nothing"),
            ExitCode.UNREACHABLE,
            hint=f"See {log}",
        )
    return url


def _read_until_ready(stdout: IO[bytes], found: "queue.Queue[str | None]") -> None:
    """Put the URL of the ready line, or None where the output ends without one."""
    for line in stdout:
        if line.startswith(_READY):
            found.put(line.removeprefix(_READY).decode(errors="replace").strip())
            return
    found.put(None)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop the server. A second signal ends its drain, a third the server; so does Ctrl-C meanwhile."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(STOP_SECONDS)
            break
    if process.stdout is not None:
        process.stdout.close()
