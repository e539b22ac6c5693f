"""Connections and pools, and the passing of JSON as text.

JSON is not parsed: `json` parameters are bytes (or msgspec.Raw), `json` results are msgspec.Raw,
also in arrays. Times are aware and in UTC.

Failure handling: a lost connection is replaced at the next acquire, and connecting waits for a
server that is starting, in recovery or restarting. A statement in flight fails; `db/errors.py` has what
its error proves, and only its caller can decide whether to send it again.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import msgspec

from runwright.db.errors import transient

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

_BY_KEY: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}


class _Connection(Connection):
    def get_reset_query(self) -> str:
        # No session state is set, so releasing a connection costs no round trip.
        # (asyncpg still rolls back a transaction that was left open.)
        return ""


def _encode_json(value: bytes | msgspec.Raw) -> bytes:
    return bytes(value)


async def _set_codecs(connection: Connection | PoolConnection) -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_encode_json, decoder=msgspec.Raw, format="binary"
    )


async def connect(
    dsn: str, *, application_name: str = "runwright", within_seconds: float = CONNECT_TIMEOUT_SECONDS
) -> Connection:
    """Return one connection, waiting up to `within_seconds` for a server that is starting."""
    connection = await _connect_patiently(
        dsn, within_seconds=within_seconds, server_settings=_server_settings(application_name)
    )
    await _set_codecs(connection)
    return connection


async def open_pool(
    dsn: str,
    *,
    max_size: int = 8,
    application_name: str = "runwright",
    command_timeout_seconds: float = 60.0,
    within_seconds: float = CONNECT_TIMEOUT_SECONDS,
    by_key: bool = False,
) -> Pool:
    """Return a pool with one live connection; it grows to `max_size` when asked.

    `by_key` is for frequent statements that look up rows by key: they get a generic plan that uses the
    indexes, whatever the statistics of a new table suggest.
    """

    async def reconnect(*args: Any, **kwargs: Any) -> Connection:  # noqa: ANN401  asyncpg's own arguments
        return await _connect_patiently(*args, within_seconds=within_seconds, **kwargs)

    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        init=_set_codecs,
        connect=reconnect,
        connection_class=_Connection,
        command_timeout=command_timeout_seconds,
        max_inactive_connection_lifetime=300.0,
        server_settings=_server_settings(application_name) | (_BY_KEY if by_key else {}),
    )


def _server_settings(application_name: str) -> dict[str, str]:
    return {
        "application_name": application_name,
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": "60000",
    }


async def _connect_patiently(
    *args: Any,  # noqa: ANN401  asyncpg's own arguments
    within_seconds: float,
    **kwargs: Any,  # noqa: ANN401  asyncpg's own arguments
) -> Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while True:
        try:
            return await asyncpg.connect(*args, timeout=CONNECT_TIMEOUT_SECONDS, **kwargs)
        except Exception as error:
            if not transient(error) or loop.time() >= deadline:
                raise
        await asyncio.sleep(CONNECT_PAUSE_SECONDS)
