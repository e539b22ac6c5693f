"""`runwright serve`: the whole platform in one process, or the roles of it that are named."""

import contextlib
import fcntl
import os
import sys
from typing import Final

import typer
import uvloop

from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.sandbox.scheduler_slices import SHORT_NANOSECONDS, set_scheduler_slice
from runwright.wiring import serve as run_platform

THREAD_TURN_SECONDS: Final = 0.0005
"""Python's own 5 ms would keep the loop from its work whenever a thread starts a sandbox."""
DESCRIPTORS: Final = 2048


@takes_settings(ALL_SETTINGS)
def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Prints one line on stdout, `runwright ready http://HOST:PORT`, when it accepts requests. Every
    flag is a setting, which may as well come from RUNWRIGHT_* or a TOML file.
    """
    set_scheduler_slice(0, SHORT_NANOSECONDS)
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    _make_room_for_descriptors()
    raise typer.Exit(uvloop.run(run_platform(settings)))


def _make_room_for_descriptors() -> None:
    """Let the kernel make the table for many descriptors now; later all threads would wait for it, 25 ms."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # fewer are allowed
        os.close(fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS))
    os.close(null)
