"""`runwright serve`: the whole platform in one process, or in several, or only some of its roles."""

import asyncio
import contextlib
import fcntl
import importlib
import os
import sys
from typing import Final

import typer
import uvloop

from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.sandbox.scheduler_slices import SHORT_NANOSECONDS, set_scheduler_slice
from runwright.supervisor.plan import process_count
from runwright.supervisor.server import supervise

THREAD_TURN_SECONDS: Final = 0.0005
"""With Python's default of 5 ms, a thread that starts a sandbox would delay the event loop."""
DESCRIPTORS: Final = 2048


@takes_settings(ALL_SETTINGS)
def serve(settings: Settings) -> None:
    """Run the server until SIGTERM or SIGINT, then drain.

    A second signal stops it at once. Prints the line `runwright ready http://HOST:PORT` on stdout when it
    accepts requests. Every flag is a setting, which can also be set by an environment variable RUNWRIGHT_*
    or in a TOML file.

    Examples:
    $ runwright serve
    $ runwright serve --host 0.0.0.0 --database-url postgresql://user@db/runwright
    $ runwright serve --processes auto
    $ runwright serve --roles executor --database-url postgresql://user@db/runwright
    """
    prepare_process()
    count = process_count(settings)
    if count > 1:
        raise typer.Exit(asyncio.run(supervise(settings, count)))
    # The supervisor needs none of it: it is loaded here only.
    raise typer.Exit(uvloop.run(importlib.import_module("runwright.wiring").serve(settings)))


def prepare_process() -> None:
    """Prepare this process for an event loop that must not wait."""
    set_scheduler_slice(0, SHORT_NANOSECONDS)
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    _enlarge_descriptor_table()


def _enlarge_descriptor_table() -> None:
    """Make the kernel enlarge the descriptor table now; later this would block all threads for 25 ms."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # the limit is lower
        os.close(fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS))
    os.close(null)
