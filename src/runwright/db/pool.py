"""Connections and pools, and the passing of JSON as text.

JSON is not parsed: `json` parameters are bytes (or msgspec.Raw), `json` results are msgspec.Raw,
also in arrays. Times are aware and in UTC.

Failure handling: a lost connection is replaced at the next acquire, and connecting waits for a
server that is starting, in recovery or restarting. A statement in flight fails; `db/errors.py` has what
its error proves, and only its caller can decide whether to send it again.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import msgspec

from runwright.db.availability import Availability, DatabaseAwayError
from runwright.db.connection import (
    MAINTENANCE,
    UNLIMITED,
    BoundedConnection,
    StatementClass,
    poolers_settings,
    session_settings,
)
from runwright.db.dsn import read_dsn
from runwright.db.errors import transient
from runwright.db.hosts import connect_to_first, split_hosts
from runwright.db.patience import Wait, current

if TYPE_CHECKING:  # the stubs make these generic, the classes are not
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    PoolConnection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection
    PoolConnection = asyncpg.pool.PoolConnectionProxy

Database: TypeAlias = Pool
"""What store functions take: any connection of the pool will do."""

CONNECT_TIMEOUT_SECONDS: Final = 10.0
CONNECT_PAUSE_SECONDS: Final = 0.05
ATTEMPT_SECONDS: Final = 2.0
"""One attempt at one host: a host that has vanished must not use up the time of the next one."""

RECONNECT_SECONDS: Final = 2.0
"""How long a new connection of an open pool waits for a server that is away."""

CLOSE_SECONDS: Final = 2.0
_LAZY_SECONDS: Final = 20.0
_QUERIES: Final = 50_000
"""After so many a connection is replaced, as asyncpg does by default."""

_STATEMENTS: Final = 100
"""How many prepared statements a connection keeps, as asyncpg does by default."""

_BY_INDEX: Final = {"enable_seqscan": "off", "jit": "off"}
_BY_KEY: Final = {**_BY_INDEX, "plan_cache_mode": "force_generic_plan"}


def _encode_json(value: bytes | msgspec.Raw) -> bytes:
    return bytes(value)


async def _set_codecs(connection: Connection | PoolConnection) -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_encode_json, decoder=msgspec.Raw, format="binary"
    )


async def connect(
    dsn: str,
    *,
    application_name: str = "runwright",
    within_seconds: float = CONNECT_TIMEOUT_SECONDS,
    statement_class: StatementClass = UNLIMITED,
) -> BoundedConnection:
    """Return one connection, waiting up to `within_seconds` for a server that is starting."""
    connector = _Connector(
        dsn,
        availability=Availability(),
        within_seconds=within_seconds,
        settings=session_settings(application_name, statement_class),
        command_timeout=statement_class.client_seconds,
        primary_only=False,
    )
    connection = await connector.connect()
    await _set_codecs(connection)
    return connection


async def open_pool(  # noqa: PLR0913  what a pool is for decides each of them
    dsn: str,
    *,
    max_size: int = 8,
    application_name: str = "runwright",
    statement_class: StatementClass = MAINTENANCE,
    availability: Availability | None = None,
    within_seconds: float = CONNECT_TIMEOUT_SECONDS,
    by_key: bool = False,
    by_index: bool = False,
    lazy: bool = False,
) -> Pool:
    """Return a pool with one live connection, or none if it is `lazy`; it grows to `max_size` when asked.

    `by_key` is for frequent statements that look up rows by key: they get a generic plan that uses the
    indexes, whatever the statistics of a new table suggest. `by_index` is for reads by many conditions:
    their plans may depend on the values, but read a table whole only where it has no index for them, so that
    a plan that was made while a table was small stays good when it has grown.
    """
    connector = _Connector(
        dsn,
        availability=availability or Availability(),
        within_seconds=within_seconds,
        settings=session_settings(application_name, statement_class)
        | (_BY_KEY if by_key else _BY_INDEX if by_index else {}),
        command_timeout=statement_class.client_seconds,
        primary_only=availability is not None,
    )
    pool = BoundedPool(
        init_size=0 if lazy else 1,
        min_size=0,
        max_size=max_size,
        init=_set_codecs,
        connect=connector.connect,
        connection_class=BoundedConnection,
        max_inactive_connection_lifetime=_LAZY_SECONDS if lazy else 300.0,
        max_queries=_QUERIES,
        record_class=asyncpg.Record,
        loop=None,
    )
    await pool
    connector.within_seconds = min(within_seconds, RECONNECT_SECONDS)
    return pool


class BoundedPool(Pool):
    """A pool from which the current request waits for a connection no longer than its patience lasts."""

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ANN401, ASYNC109  as asyncpg has it
        if current() is None:
            return await super()._acquire(timeout)  # type: ignore[misc]
        async with Wait():
            return await super()._acquire(timeout)  # type: ignore[misc]

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ANN401, ASYNC109
        """Release a connection; at once where nothing is to be awaited, for which asyncpg makes a task."""
        if _is_ready(connection, self):
            holder = connection._holder  # noqa: SLF001  asyncpg's own parts, as it uses them
            holder._release()  # noqa: SLF001
            holder._setup_inactive_callback()  # noqa: SLF001
        else:
            await super().release(connection, timeout=timeout)


def _is_ready(proxy: Any, pool: Any) -> bool:  # noqa: ANN401  asyncpg's own types lack what is read here
    """Return whether a connection can be released as it is, and is to stay in the pool."""
    holder, connection = proxy._holder, proxy._con  # noqa: SLF001
    if connection is None or holder._pool is not pool or holder._generation != pool._generation:  # noqa: SLF001
        return False
    return bool(connection.queries_count < _QUERIES and connection.release_at_once())


async def close_pool(pool: Pool, *, seconds: float = CLOSE_SECONDS) -> None:
    """Close a pool; after `seconds`, also what still waits for the server."""
    try:
        async with asyncio.timeout(seconds):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def _is_poolers(error: Exception) -> bool:
    """Return whether PgBouncer has refused a setting of the session, as it does in each of its modes."""
    return isinstance(error, asyncpg.PostgresError) and "unsupported startup parameter" in str(error)


class _Connector:
    """Makes the connections of one pool."""

    def __init__(
        self,
        dsn: str,
        *,
        availability: Availability,
        within_seconds: float,
        settings: dict[str, str],
        command_timeout: float | None,
        primary_only: bool,
    ) -> None:
        address = read_dsn(dsn)
        self._dsns = split_hosts(address.dsn)
        self._tls = address.tls
        self._pooled = address.pooled
        self._availability = availability
        self.within_seconds = within_seconds
        self._settings = settings
        self._command_timeout = command_timeout
        self._primary_only = primary_only

    async def connect(self, *_: Any, **__: Any) -> BoundedConnection:  # noqa: ANN401  asyncpg's own arguments
        """Return a connection, waiting for a server that is starting or is not primary yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.within_seconds
        while True:
            await self._availability.ensure()
            try:
                connection = await self._availability.while_available(
                    connect_to_first([partial(self._attempt, dsn) for dsn in self._dsns])
                )
            except Exception as error:
                if not self._pooled and _is_poolers(error):
                    self._pooled = True
                    continue
                if not transient(error) or loop.time() >= deadline:
                    raise
            else:
                connection.availability = self._availability
                self._availability.track(connection)
                return connection
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)

    async def _attempt(self, dsn: str) -> BoundedConnection:
        connection = await asyncpg.connect(
            dsn,
            timeout=ATTEMPT_SECONDS,
            connection_class=BoundedConnection,
            server_settings=poolers_settings(self._settings) if self._pooled else self._settings,
            command_timeout=self._command_timeout,
            ssl=self._tls,
            # Behind a pooler the next statement may be on another connection.
            statement_cache_size=0 if self._pooled else _STATEMENTS,
        )
        connection.pooled = self._pooled
        if self._primary_only and connection.in_standby:
            connection.drop()
            raise DatabaseAwayError("the server is a standby")
        return connection
