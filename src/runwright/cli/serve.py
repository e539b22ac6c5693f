"""`runwright serve`: the whole platform in one process, or only some of its roles."""

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
    $ runwright serve --roles executor --database-url postgresql://user@db/runwright
    """
    set_scheduler_slice(0, SHORT_NANOSECONDS)
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    _enlarge_descriptor_table()
    raise typer.Exit(uvloop.run(run_platform(settings)))


def _enlarge_descriptor_table() -> None:
    """Make the kernel enlarge the descriptor table now; later this would block all threads for 25 ms."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # the limit is lower
        os.close(fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS))
    os.close(null)
