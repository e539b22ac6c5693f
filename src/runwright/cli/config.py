"""`runwright config`: the effective settings and the source of each."""

from typing import Annotated

import typer

from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.cli.table import columns
from runwright.config import FIELDS, Settings, default_file, shown_value


@takes_settings(ALL_SETTINGS)
def config(
    settings: Settings,
    *,
    defaults: Annotated[
        bool,
        typer.Option("--defaults", help="Print a commented configuration file with all defaults instead."),
    ] = False,
) -> None:
    """Print every setting with its source; secrets are hidden.

    Examples:
    $ runwright config
    $ runwright config --defaults > settings.toml
    """
    if defaults:
        typer.echo(default_file(), nl=False)
        return
    rows = ((name, shown_value(settings, name), settings.sources.get(name, "default")) for name in FIELDS)
    typer.echo(columns(("setting", "value", "source"), rows))
