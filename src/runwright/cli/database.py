"""How commands get at the database: their own, or the embedded one, whether the server runs or not."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from runwright.config import Settings
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.migrator import migrate, require_current, schema_version
from runwright.db.pool import Pool, connect, open_pool

PATIENCE_SECONDS: Final = 3.0
"""How long a person at a terminal waits for a database that is just starting."""


@contextlib.asynccontextmanager
async def database_address(settings: Settings) -> AsyncIterator[str]:
    """Yield how to connect; an embedded server is attached to, or started for as long as needed."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    try:
        yield await embedded.start()
    finally:
        await embedded.stop()


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Pool]:
    """Yield a pool on a database with this code's schema; a new database gets it, another is refused."""
    async with database_address(settings) as dsn:
        connection = await connect(dsn, application_name="runwright cli", within_seconds=PATIENCE_SECONDS)
        try:
            if await schema_version(connection) == 0:
                await migrate(connection)
            await require_current(connection)
        finally:
            await connection.close()
        pool = await open_pool(dsn, max_size=1, application_name="runwright cli")
        try:
            yield pool
        finally:
            await pool.close()
