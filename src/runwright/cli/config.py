"""`runwright config`: the effective settings and the source of each."""

from typing import TYPE_CHECKING, Annotated

import typer

from runwright.cli.options import ALL_SETTINGS, takes_settings
from runwright.cli.output import Column, render_table
from runwright.config import FIELDS, Settings, default_file, shown_value

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    columns: Sequence[Column[str]] = (
        Column("SETTING", str),
        Column("VALUE", lambda name: shown_value(settings, name)),
        Column("SOURCE", lambda name: settings.sources.get(name, "default")),
    )
    typer.echo(render_table(list(FIELDS), columns, cut_to=None))
