"""A database that hangs: statements end, connections are dropped, and all is well when it answers again.

The server's processes are stopped with SIGSTOP, which is what a host that has vanished looks like from
here: nothing is reset, nothing answers.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from runwright.db.availability import Availability, DatabaseAwayError
from runwright.db.connection import UNLIMITED, StatementClass, set_socket_options
from runwright.db.notifications import Listener
from runwright.db.pool import Pool, close_pool, connect, open_pool
from runwright.telemetry.events.database import DatabaseAway, DatabaseBack, ListenerDisconnected
from tests.telemetry import RecordedTelemetry

SHORT = StatementClass("short", 0.3)
HANG_GUARD_SECONDS = 60.0


class Backends:
    """Server processes that are stopped, and continued at the end."""

    def __init__(self) -> None:
        self._stopped: set[int] = set()

    def stop(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        self._stopped.add(pid)

    def resume(self) -> None:
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()


@pytest.fixture
def backends() -> Iterator[Backends]:
    backends = Backends()
    yield backends
    backends.resume()


@pytest.fixture
async def short_pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, max_size=1, statement_class=SHORT, availability=Availability())
    yield pool
    await close_pool(pool)


async def _backend(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT pg_backend_pid()"))


async def test_the_server_ends_a_statement_that_takes_too_long(short_pool: Pool) -> None:
    before = await _backend(short_pool)
    with pytest.raises(asyncpg.QueryCanceledError):
        await short_pool.execute("SELECT pg_sleep(30)")
    assert await _backend(short_pool) == before, "the server answered, so its connection is kept"


async def test_a_statement_without_an_answer_ends_and_the_next_one_has_a_new_connection(
    short_pool: Pool, backends: Backends
) -> None:
    before = await _backend(short_pool)
    backends.stop(before)
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        with pytest.raises(TimeoutError):
            await short_pool.execute("SELECT 1")
        assert await _backend(short_pool) != before


async def test_a_transaction_without_an_answer_ends(short_pool: Pool, backends: Backends) -> None:
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        with pytest.raises((TimeoutError, asyncpg.InterfaceError)):
            await _stop_in_transaction(short_pool, backends)
        assert await short_pool.fetchval("SELECT 1") == 1


async def test_a_cancelled_statement_gives_its_connection_back_though_the_server_hangs(
    database_url: str, backends: Backends
) -> None:
    pool = await open_pool(database_url, max_size=1, statement_class=UNLIMITED)
    backends.stop(await _backend(pool))
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pool.execute("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1
    await close_pool(pool)


async def test_a_pool_closes_though_the_server_hangs(database_url: str, backends: Backends) -> None:
    pool = await open_pool(database_url, max_size=1, statement_class=UNLIMITED)
    backends.stop(await _backend(pool))
    waiting = asyncio.create_task(pool.execute("SELECT 1"))
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        await close_pool(pool, seconds=0.2)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await waiting


async def test_a_ping_without_an_answer_drops_every_connection_until_the_listener_is_back(
    database_url: str, database: Pool, backends: Backends
) -> None:
    telemetry = RecordedTelemetry()
    availability = Availability(telemetry)
    pool = await open_pool(database_url, statement_class=UNLIMITED, availability=availability)
    listener = Listener(database_url, {}, availability, telemetry)
    await listener.start()
    await listener.connected.wait()
    sleeping = asyncio.create_task(pool.execute("SELECT pg_sleep(300)"))
    backends.stop(await _listening(database))
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        with pytest.raises(asyncpg.PostgresConnectionError):
            await sleeping
        await listener.connected.wait()
        assert availability
        assert await pool.fetchval("SELECT 1") == 1
    assert telemetry.kinds() == [ListenerDisconnected, DatabaseAway, DatabaseBack]
    await listener.stop()
    await close_pool(pool)


async def test_a_statement_without_an_answer_makes_the_listener_ping(
    short_pool: Pool, database_url: str, backends: Backends
) -> None:
    availability = Availability()
    doubts = asyncio.Event()
    availability.on_doubt(doubts.set)
    pool = await open_pool(database_url, max_size=1, statement_class=SHORT, availability=availability)
    backends.stop(await _backend(pool))
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        with pytest.raises(TimeoutError):
            await pool.execute("SELECT 1")
        await doubts.wait()
    assert await short_pool.fetchval("SELECT 1") == 1, "another pool is not touched"
    await close_pool(pool)


async def test_nobody_connects_while_the_database_is_away(database_url: str) -> None:
    availability = Availability()
    pool = await open_pool(database_url, availability=availability)
    availability.lost("a test")
    with pytest.raises(DatabaseAwayError):
        await pool.fetchval("SELECT 1")
    availability.restored()
    assert await pool.fetchval("SELECT 1") == 1
    await close_pool(pool)


async def test_an_attempt_to_connect_ends_when_the_database_is_lost_meanwhile() -> None:
    availability = Availability()
    connecting = asyncio.create_task(availability.while_available(_hang()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    availability.lost("a test")
    with pytest.raises(DatabaseAwayError):
        await connecting


async def test_requests_wait_for_a_server_that_may_only_be_restarting() -> None:
    availability = Availability()
    availability.lost("refused", patience_seconds=HANG_GUARD_SECONDS)
    waiting = asyncio.create_task(availability.ensure())
    await asyncio.sleep(0)
    availability.restored()
    await waiting


class Transport:
    """A transport over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self._sock


def test_a_connection_over_tcp_notices_a_peer_that_acknowledges_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as s,
    ):
        set_socket_options(Transport(s))
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert 0 < s.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 5000
        assert 0 < s.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 5


@pytest.mark.parametrize(
    "setting", ["client_connection_check_interval", "idle_in_transaction_session_timeout"]
)
async def test_the_server_gives_up_sessions_of_clients_that_are_gone(database_url: str, setting: str) -> None:
    connection = await connect(database_url)
    value = await connection.fetchval("SELECT setting::integer FROM pg_settings WHERE name = $1", setting)
    await connection.close()
    assert 0 < value <= 60_000


async def _hang() -> None:
    await asyncio.Event().wait()


async def _stop_in_transaction(pool: Pool, backends: Backends) -> None:
    async with pool.acquire() as connection, connection.transaction():
        backends.stop(int(await connection.fetchval("SELECT pg_backend_pid()")))
        await connection.execute("SELECT 1")


async def _listening(database: Pool) -> int:
    pid = await database.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'runwright-listen'"
        " AND datname = current_database()"
    )
    return int(pid)
