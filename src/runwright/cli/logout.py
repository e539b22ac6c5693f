"""`runwright logout`: forget the key of a profile."""

import sys
from typing import Annotated

import typer

from runwright.cli.completion import complete_profiles
from runwright.cli.exits import UsageError
from runwright.cli.profile import open_profiles


def logout(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="By default the one in use.", autocompletion=complete_profiles),
    ] = None,
) -> None:
    """Forget a profile and its key.

    The key stays valid; `runwright keys revoke` ends it.

    Examples:
    $ runwright logout local
    """
    profiles = open_profiles()
    chosen = name or profiles.current()
    if chosen is None:
        raise UsageError("No profile is in use.", hint="runwright profile list")
    profiles.remove(chosen)
    sys.stdout.write(f"removed {chosen}; to revoke its key: runwright keys revoke ID\n")
