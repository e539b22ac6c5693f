"""The local server of `runwright dev`: the one that runs, or one that starts and stops with the command."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import platformdirs

from runwright.cli.child_server import child_server
from runwright.cli.exits import CommandError, ExitCode
from runwright.cli.remote import open_client
from runwright.cli.terminal import note
from runwright.client.errors import Unreachable

if TYPE_CHECKING:
    from runwright.client.targets import ServerTarget

_LOG_NAME: Final = "dev-server.log"


@contextlib.contextmanager
def local_server(target: "ServerTarget") -> Iterator[None]:
    """Have a server at the target's address until the block ends. CommandError where none can be started."""
    if _answers(target):
        yield
        return
    if importlib.util.find_spec("runwright.wiring") is None:
        raise CommandError(
            f"{target.url} does not answer, and this installation has no server to start.",
            ExitCode.UNREACHABLE,
            hint="pip install runwright",
        )
    log = platformdirs.user_log_path("runwright", appauthor=False) / _LOG_NAME
    log.parent.mkdir(parents=True, exist_ok=True)
    note(f"starting a server on {target.url}, its log is {log}", "dim")
    port = str(urlsplit(target.url).port or 80)
    with child_server(["--host", "127.0.0.1", "--port", port], log, os.environ):
        yield


def _answers(target: "ServerTarget") -> bool:
    try:
        with open_client(target, retries=0, timeout=5) as client:
            client.request("GET /livez")
    except Unreachable:
        return False
    return True
