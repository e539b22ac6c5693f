"""The local server of `runwright dev`: the one that runs, or one that starts and stops with the command."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urlsplit

import platformdirs

from runwright.cli.exits import CommandError, ExitCode
from runwright.cli.remote import open_client
from runwright.cli.terminal import note
from runwright.client.errors import Unreachable

if TYPE_CHECKING:
    from runwright.client.targets import ServerTarget

START_SECONDS: Final = 120.0
"""The first start creates a database."""

STOP_SECONDS: Final = 15.0
_READY: Final = b"runwright ready "
_LOG_NAME: Final = "dev-server.log"


@contextlib.contextmanager
def local_server(target: "ServerTarget") -> Iterator[None]:
    """Have a server at the target's address until the block ends. CommandError where none can be started."""
    if _answers(target):
        yield
        return
    process, log = _start(target)
    try:
        _await_ready(process, log)
        yield
    finally:
        _stop(process)


def _answers(target: "ServerTarget") -> bool:
    try:
        with open_client(target, retries=0, timeout=5) as client:
            client.request("GET /livez")
    except Unreachable:
        return False
    return True


def _start(target: "ServerTarget") -> tuple["subprocess.Popen[bytes]", Path]:
    if importlib.util.find_spec("runwright.wiring") is None:
        raise CommandError(
            f"{target.url} does not answer, and this installation has no server to start.",
            ExitCode.UNREACHABLE,
            hint="pip install runwright",
        )
    port = urlsplit(target.url).port or 80
    log = platformdirs.user_log_path("runwright", appauthor=False) / _LOG_NAME
    log.parent.mkdir(parents=True, exist_ok=True)
    note(f"starting a server on {target.url}, its log is {log}", "dim")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwright", "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env={**os.environ},
            start_new_session=True,  # Ctrl-C is for this command, which then stops the server
        )
    return process, log


def _await_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server accepts requests. CommandError with the end of its log if it does not."""
    assert process.stdout is not None  # noqa: S101  a pipe, as started
    ready = threading.Event()
    reader = threading.Thread(target=_read_until_ready, args=(process.stdout, ready), daemon=True)
    reader.start()
    reader.join(START_SECONDS)
    if not ready.is_set():
        process.poll()
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise CommandError(
            "The server did not start: " + ("\n".join(last) or "it printed nothing"),
            ExitCode.UNREACHABLE,
            hint=f"See {log}",
        )


def _read_until_ready(stdout: IO[bytes], ready: threading.Event) -> None:
    for line in stdout:
        if line.startswith(_READY):
            ready.set()
            return


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
