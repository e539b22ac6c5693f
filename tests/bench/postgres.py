"""A PostgreSQL of our own for the peers and for the listing figure: the server that we embed.

The peers get the very server that `runwright serve` starts for itself: the same binaries, the
same memory, fsync and synchronous_commit on.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncpg

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.embedded.tuning import MAX_CONNECTIONS

SETTINGS: Final = "the PostgreSQL that Runwright embeds, fsync and synchronous_commit on"


@contextlib.asynccontextmanager
async def postgres_running(folder: Path, *, max_connections: int = MAX_CONNECTIONS) -> AsyncIterator[str]:
    """Run PostgreSQL in `folder` and give its DSN."""
    server = EmbeddedPostgres(folder / "database", max_connections=max_connections)
    try:
        yield await server.start()
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def counting(dsn: str, query: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Give a function that asks for one number; 0 while the table does not exist."""
    connection = await asyncpg.connect(dsn)

    async def count() -> int:
        try:
            return int(await connection.fetchval(query))
        except asyncpg.UndefinedTableError:
            return 0

    try:
        yield count
    finally:
        await connection.close()
