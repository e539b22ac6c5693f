"""`runwright version`: the installed version."""

import typer

from runwright import __version__


def version() -> None:
    """Print the version.

    Examples:
    $ runwright version
    """
    typer.echo(f"runwright {__version__}")
