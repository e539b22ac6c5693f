"""Connections: how they are made, how JSON passes through them, which errors heal by themselves.

JSON is text that passes through: `json` parameters are bytes (or msgspec.Raw), `json` results
are msgspec.Raw, alone and in arrays. Times are aware and in UTC.

Failure handling: a connection that was lost is replaced at the next acquire, and making one
waits out a server that is starting, in recovery or being restarted. A statement that was under
way fails with an error that `transient` knows; only its caller can say whether to send it again.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import msgspec

if TYPE_CHECKING:  # the stubs make these generic, the classes are not
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    PoolConnection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection
    PoolConnection = asyncpg.pool.PoolConnectionProxy

Database: TypeAlias = Pool
"""How features name what they are given: any connection of the pool will do."""

CONNECT_TIMEOUT_SECONDS: Final = 10.0
CONNECT_PAUSE_SECONDS: Final = 0.05

_BY_KEY: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
_LOST: Final = ("connection is closed", "connection was closed", "connection has been closed")
_FAREWELL: Final = "cannot switch to state"
"""asyncpg's answer on a connection whose server has said that it is going and has not gone yet."""

_TRANSIENT: Final = (
    OSError,  # refused, reset, no socket yet, timed out
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # the primary has moved
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


def transient(error: BaseException) -> bool:
    """Tell whether the same statement may succeed later: connection lost, server restarting, deadlock.

    After most of these it is unknown whether the statement was committed.
    """
    if isinstance(error, _TRANSIENT):
        return True
    if isinstance(error, asyncpg.InternalClientError):
        return _FAREWELL in str(error)
    return isinstance(error, asyncpg.InterfaceError) and any(text in str(error) for text in _LOST)


class _Connection(Connection):
    def get_reset_query(self) -> str:
        # We set nothing on a session, so giving a connection back costs no round trip.
        # (A transaction that was left open is rolled back all the same.)
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

    `by_key` is for statements that look rows up by their keys and are sent all the time: they are
    planned once, with the indexes, whatever the statistics of a young table say.
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
