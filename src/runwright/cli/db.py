"""`runwright db`: the schema of the database."""

import asyncio

import typer

from runwright.cli.apps import Commands
from runwright.cli.database import PATIENCE_SECONDS, database_address
from runwright.cli.index import COMMANDS
from runwright.cli.options import DATABASE_SETTINGS, takes_settings
from runwright.config import Settings
from runwright.db.migrator import Migration, migrate
from runwright.db.pool import connect

app = Commands(COMMANDS["db"])


@app.command("migrate")
@takes_settings(DATABASE_SETTINGS)
def migrate_(settings: Settings) -> None:
    """Migrate the schema to this version. Servers of the previous release may keep running.

    Examples:
    $ runwright db migrate
    """
    applied = asyncio.run(_migrate(settings))
    for migration in applied:
        typer.echo(f"applied {migration.label}")
    if not applied:
        typer.echo("nothing to do")


async def _migrate(settings: Settings) -> list[Migration]:
    async with database_address(settings) as dsn:
        connection = await connect(dsn, application_name="runwright cli", within_seconds=PATIENCE_SECONDS)
        try:
            return await migrate(connection)
        finally:
            await connection.close()
