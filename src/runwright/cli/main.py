"""The entry point: imports the module of the named command only, and turns errors into exit statuses.

Importing the server takes ten times as long as creating a key, so the modules of other commands are imported
only if all are needed (`--help`, or an unknown command).
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

import asyncpg
import typer

from runwright.core.errors import InvalidError, RunwrightError
from runwright.db.errors import transient

NOUNS: Final = (
    "serve",
    "tenants",
    "keys",
    "vault",
    "agents",
    "automation",
    "db",
    "config",
    "doctor",
    "version",
)


def main() -> int:
    """Run the command that the arguments name, and return the exit status."""
    try:
        build_app(sys.argv[1:])()
    except RunwrightError as error:
        sys.stderr.write(f"runwright: {_explain(error)}\n")
        return 1
    except (OSError, asyncpg.PostgresError) as error:
        if not transient(error):
            raise
        sys.stderr.write(
            f"runwright: The database is out of reach: {error}. Check that it runs, and --database-url.\n"
        )
        return 1
    return 0


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that the arguments name, or with all commands."""
    app = typer.Typer(
        name="runwright",
        help="Self-hosted serverless workers, event agents and automations.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_runwright)
    named = [argument for argument in arguments[:1] if argument in NOUNS]
    for noun in named or NOUNS:
        module = importlib.import_module(f"runwright.cli.{noun}")
        if isinstance(getattr(module, "app", None), typer.Typer):
            app.add_typer(module.app, name=noun)
        else:
            app.command(noun)(getattr(module, noun))
    return app


def _runwright() -> None:
    """Self-hosted serverless workers, event agents and automations."""


def _explain(error: RunwrightError) -> str:
    if not isinstance(error, InvalidError):
        return error.message
    return "\n".join(f"{field}: {' '.join(problems)}" for field, problems in error.fields.items())
