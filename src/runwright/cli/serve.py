"""`runwright serve`: the whole platform in one process, or the roles of it that are named."""

import typer
import uvloop

from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.runtimes.slices import SHORT_NANOSECONDS, set_slice
from runwright.wiring import serve as run_platform


@takes_settings(ALL_SETTINGS)
def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Prints one line on stdout, `runwright ready http://HOST:PORT`, when it accepts requests. Every
    flag is a setting, which may as well come from RUNWRIGHT_* or a TOML file.
    """
    set_slice(0, SHORT_NANOSECONDS)
    raise typer.Exit(uvloop.run(run_platform(settings)))
