"""How commands connect to the database: the configured one, or the embedded one, running or not."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from runwright.config import Settings
from runwright.core.errors import RunwrightError
from runwright.db.connection import UNLIMITED
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import prepare_schema
from runwright.db.pool import Pool, connect, open_pool

PATIENCE_SECONDS: Final = 3.0
"""How long a command waits for a database that is just starting."""


class NoDatabaseError(RunwrightError):
    """The data directory has no database; only `serve` creates one."""

    code = "no_database"


def has_database(settings: Settings) -> bool:
    """Return whether a database is configured, or the data directory has one."""
    return settings.database_url is not None or (settings.data_dir / "pg").exists()


@contextlib.asynccontextmanager
async def database_address(settings: Settings) -> AsyncIterator[str]:
    """Yield the address of the database; the embedded server is used if it runs, else started meanwhile.

    NoDatabaseError where there is none: a mistyped folder must not become a second, empty one.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    if not has_database(settings):
        raise NoDatabaseError(
            f"There is no database in {settings.data_dir}. Name the server's folder with --data-dir"
            " or RUNWRIGHT_DATA_DIR; the first start of `runwright serve` creates one."
        )
    embedded = EmbeddedPostgres(settings.data_dir)
    try:
        yield await embedded.start()
    finally:
        await embedded.stop()


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Pool]:
    """Yield a pool on a database with this version's schema; migrate an empty one, refuse an older one."""
    async with database_address(settings) as dsn:
        connection = await connect(dsn, application_name="runwright cli", within_seconds=PATIENCE_SECONDS)
        try:
            await prepare_schema(connection, may_migrate=False)
        finally:
            await connection.close()
        pool = await open_pool(dsn, max_size=1, application_name="runwright cli", statement_class=UNLIMITED)
        try:
            yield pool
        finally:
            await pool.close()
