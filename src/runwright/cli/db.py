"""`runwright db`: the schema of the database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from runwright.cli.apps import Commands
from runwright.cli.database import PATIENCE_SECONDS, database_address
from runwright.cli.index import COMMANDS
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.db.migrator import SchemaError, migrate, schema_status
from runwright.db.pool import Connection, connect

T = TypeVar("T")

app = Commands(COMMANDS["db"])


@app.command("migrate")
@takes_settings(DATABASE_SETTINGS)
def migrate_(settings: Settings) -> None:
    """Migrate the schema to this version. Servers of the previous release may keep running.

    Examples:
    $ runwright db migrate
    """
    applied = asyncio.run(_with_connection(settings, migrate))
    for migration in applied:
        typer.echo(f"applied {migration.label}")
    if not applied:
        typer.echo("nothing to do")


@app.command("status")
@takes_settings(DATABASE_SETTINGS)
def status(settings: Settings) -> None:
    """Show the schema of the database, that of this version, and what a migration would apply.

    Examples:
    $ runwright db status
    """
    found = asyncio.run(_with_connection(settings, schema_status))
    typer.echo(f"database      {found.applied or 'empty: a server migrates it at its start'}")
    typer.echo(f"this version  {found.known}")
    for label in found.pending:
        typer.echo(f"pending       {label}")
    typer.echo(found.problem or "A server of this version may start on it.")


@app.command("check")
@takes_settings(DATABASE_SETTINGS)
def check(settings: Settings) -> None:
    """Exit with 1, and say why, unless a server of this version may start on the database as it is.

    Examples:
    $ runwright db check
    """
    found = asyncio.run(_with_connection(settings, schema_status))
    if found.problem is not None:
        raise SchemaError(found.problem)
    typer.echo("ok")


async def _with_connection(settings: Settings, use: Callable[[Connection], Awaitable[T]]) -> T:
    async with database_address(settings) as dsn:
        connection = await connect(dsn, application_name="runwright cli", within_seconds=PATIENCE_SECONDS)
        try:
            return await use(connection)
        finally:
            await connection.close()
