"""Migrated databases of one PostgreSQL, lent to one test after the other.

To copy the template takes a third of a second, to empty a database a twentieth of that. So one that
comes back is emptied and lent again, unless the test has changed its schema: then it is dropped.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from runwright.db.migrator import migrate
from runwright.db.pool import Connection, connect

TEMPLATE: Final = "migrated_template"
_PATIENCE_SECONDS: Final = 60.0

_SCHEMA: Final = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM schema_migrations),
       (SELECT count(*) FROM pg_db_role_setting),
       (SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_attribute WHERE attrelid >= 16384),
       (SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_constraint WHERE oid >= 16384),
       (SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_proc WHERE oid >= 16384),
       (SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_trigger WHERE oid >= 16384),
       (SELECT (count(*), sum(xmin::text::bigint))::text FROM pg_type WHERE oid >= 16384)
"""
"""What every change of a schema changes, and nothing that rows do; PostgreSQL's own objects have smaller numbers."""

_USED: Final = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations'
  AND pg_relation_size(oid) > 0
"""

_CUT_OTHERS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def for_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def execute(dsn: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    connection = await connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def make_template(dsn: str) -> None:
    """Make the database that the others are copies of."""
    await execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    connection = await connect(for_database(dsn, TEMPLATE))
    await migrate(connection)
    await connection.close()


class Databases:
    """Lends databases, each to one test at a time, and keeps a connection to each.

    All calls are made on one event loop, which is not that of the tests.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: list[str] = []
        self._schemas: dict[str, object] = {}
        self._connections: dict[str, Connection] = {}

    async def lend(self) -> str:
        """Return the name of a migrated database without rows."""
        if self._free:
            return self._free.pop()
        name = f"test_{uuid4().hex}"
        await execute(self._dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        self._connections[name] = await connect(for_database(self._dsn, name))
        self._schemas[name] = await self._connections[name].fetchrow(_SCHEMA)
        return name

    async def take_back(self, name: str) -> None:
        """Empty a database for the next test, or drop it where its schema is not what it was."""
        connection = await self._connection(name)
        await _cut_others(connection)
        if await connection.fetchrow(_SCHEMA) == self._schemas[name]:
            await _empty(connection)
            self._free.append(name)
        else:
            await self._connections.pop(name).close()
            await execute(self._dsn, f"DROP DATABASE {name} WITH (FORCE)")

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            await connection.close()

    async def _connection(self, name: str) -> Connection:
        """Return the connection to a database, a new one where a test has cut it."""
        connection = self._connections[name]
        try:
            await connection.execute("SELECT 1")
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
            connection.terminate()
            connection = self._connections[name] = await connect(for_database(self._dsn, name))
        return connection


async def _cut_others(connection: Connection) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await connection.fetchval(_CUT_OTHERS):  # noqa: ASYNC110  only the server knows when they are gone
            await asyncio.sleep(0.005)


async def _empty(connection: Connection) -> None:
    used = [row[0] for row in await connection.fetch(_USED)]
    if used:
        await connection.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE")
