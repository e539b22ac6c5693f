"""The database of a server that starts: the configured one, or the embedded one, with its schema."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from runwright.config import Settings
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.embedded.wal_archive import remember
from runwright.db.migrator import prepare_schema
from runwright.db.pool import connect
from runwright.telemetry.emit import Emit

CONNECTIONS: Final = 50
"""Of one process with all roles, and of commands beside it."""

CONNECTIONS_OF_A_PAIR: Final = 40
"""An API process and an executor use so many at most."""


async def start_database(settings: Settings, emit: Emit, stack: AsyncExitStack) -> str:
    """Return the DSN of the database, whose schema is up to date; start the embedded server if needed."""
    dsn = settings.database_url
    if dsn is None:
        await asyncio.to_thread(remember, settings.data_dir, settings.wal_archive)
        embedded = EmbeddedPostgres(settings.data_dir, emit=emit, max_connections=_connections(settings))
        stack.push_async_callback(embedded.stop)
        dsn = await embedded.start()
    connection = await connect(dsn)
    try:
        await prepare_schema(connection, may_migrate=_may_migrate(settings))
    finally:
        await connection.close()
    return dsn


def _connections(settings: Settings) -> int:
    """Return how many connections the embedded server allows; the same in every process of a group."""
    pairs = 1 if settings.processes == "auto" else settings.processes
    return CONNECTIONS + CONNECTIONS_OF_A_PAIR * (pairs - 1)


def _may_migrate(settings: Settings) -> bool:
    """Return whether to migrate at startup; an external database is migrated only if the setting is true."""
    return settings.database_url is None if settings.migrate is None else settings.migrate
