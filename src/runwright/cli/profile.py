"""`runwright profile`: the servers that a person works with."""

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.cli.apps import Commands
from runwright.cli.completion import complete_profiles
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column, Output, section
from runwright.cli.remote import takes_output

if TYPE_CHECKING:
    from runwright.client.profiles import Profile, Profiles

app = Commands(COMMANDS["profile"])

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the profile.", autocompletion=complete_profiles)
]


def open_profiles() -> "Profiles":
    """Return the file of profiles."""
    profiles: Profiles = importlib.import_module("runwright.client.profiles").Profiles()
    return profiles


@app.command("list")
@takes_output
def list_(output: Output) -> None:
    """List the profiles; the one that commands use has a mark.

    Examples:
    $ runwright profile list
    """
    profiles = open_profiles()
    current = profiles.current()
    rows = [_row(name, profile, current=name == current) for name, profile in profiles.all().items()]
    columns = (
        Column[dict[str, Any]](
            "", lambda row: "●" if row["current"] else "", style=lambda _: "green", mark=True
        ),
        Column[dict[str, Any]]("NAME", lambda row: row["name"]),
        Column[dict[str, Any]]("URL", lambda row: row["url"], flexible=True),
        Column[dict[str, Any]]("TENANT", lambda row: row["tenant"] or ""),
        Column[dict[str, Any]](
            "", lambda row: "protected" if row["protected"] else "", style=lambda _: "yellow", mark=True
        ),
    )
    output.rows(rows, columns, empty="There are no profiles. Make one with: runwright login URL")


@app.command()
def use(name: _Name) -> None:
    """Let commands use a profile from now on.

    Examples:
    $ runwright profile use local
    """
    profiles = open_profiles()
    profiles.use(name)
    sys.stdout.write(f"using {name}  {profiles.get(name).url}\n")


@app.command()
@takes_output
def show(
    output: Output,
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="By default the one in use.", autocompletion=complete_profiles),
    ] = None,
) -> None:
    """Show a profile, without its key.

    Examples:
    $ runwright profile show
    """
    profiles = open_profiles()
    chosen = name or profiles.current()
    if chosen is None:
        sys.stdout.write(f"No profile is in use. The file is {profiles.path}.\n")
        return
    row = _row(chosen, profiles.get(chosen), current=chosen == profiles.current())
    output.thing(
        row, lambda: section(chosen, {key: _text(value) for key, value in row.items() if key != "name"})
    )


def _row(name: str, profile: "Profile", *, current: bool) -> dict[str, Any]:
    """Return a profile as it may be shown."""
    return {
        "name": name,
        "url": profile.url,
        "tenant": profile.tenant,
        "role": profile.role,
        "key": "set" if profile.api_key else None,
        "protected": profile.protected,
        "current": current,
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
