"""LISTEN and NOTIFY over one connection: hints that something may have changed, never the truth.

Notifications are lost while the connection is down, so every handler is called once after each
connect, as if its channel had been notified; handlers only cause the tables to be read.
Notifications are collected while a NOTIFY is in flight and sent together, because NOTIFY takes a
database-wide lock at commit. One that cannot be sent is dropped.

The connection also shows whether the database is there: it pings every `PING_SECONDS`, and at once when a
statement elsewhere had no answer in time. Without an answer within `PONG_SECONDS`, or on a server that is
no longer primary, all connections of the process are dropped (`Availability`); when it is connected again,
so may the others. Behind a pooler in transaction mode it cannot listen: it still sends, and loops poll.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import asyncpg

from runwright.db.availability import Availability, DatabaseAwayError
from runwright.db.connection import PING, BoundedConnection
from runwright.db.pool import Connection, PoolConnection, connect
from runwright.telemetry.emit import Emit, error_text, ignore_event
from runwright.telemetry.events.database import ListenerDisconnected

RECONNECT_PAUSES_SECONDS: Final = (0.05, 0.2, 0.5)
PING_SECONDS: Final = 1.0
PONG_SECONDS: Final = 1.25
STALL_SECONDS: Final = 0.2
"""Added where this process was late itself: the answer may be here and unread."""

RESTART_SECONDS: Final = 2.0
"""How long requests wait for a server that refuses connections: it may only be restarting."""

PAYLOAD_LIMIT_BYTES: Final = 7999
"""PostgreSQL's own limit."""

_AWAY: Final = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
"""Errors of an attempt to connect that say that there is no database, rather than that it is busy."""

NotificationHandler = Callable[[str], None]
"""Called with the payload, which is empty after a connect. Must not block or raise."""


class Listener:
    """Listens on channels and notifies them. `stop` may be called before `start`, and twice."""

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, NotificationHandler],
        availability: Availability | None = None,
        emit: Emit = ignore_event,
    ) -> None:
        self._dsn = dsn
        self._channels = dict(channels)
        self._pending: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._availability = availability or Availability()
        self._availability.on_doubt(self._wake.set)
        self._task: asyncio.Task[None] | None = None
        self._emit = emit
        self.connected = asyncio.Event()

    async def start(self) -> None:
        """Start connecting in the background; `connected` is set while notifications arrive."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="listener")

    async def stop(self) -> None:
        """Stop listening; notifications that have not been sent are dropped."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def notify(self, channel: str, payload: str = "") -> None:
        """Notify a channel soon, together with other pending notifications; duplicates are sent once."""
        if len(payload.encode()) > PAYLOAD_LIMIT_BYTES:
            raise ValueError(f"a payload is at most {PAYLOAD_LIMIT_BYTES} bytes")
        self._pending.add((channel, payload))
        self._wake.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await connect(
                    self._dsn, application_name="runwright-listen", within_seconds=0, statement_class=PING
                )
                failures = 0
                await self._serve(connection)
            except Exception as error:  # noqa: BLE001  after any failure it must reconnect
                self._emit(ListenerDisconnected(error=error_text(error)))
                self._after_failure(error)
            await asyncio.sleep(RECONNECT_PAUSES_SECONDS[min(failures, len(RECONNECT_PAUSES_SECONDS) - 1)])
            failures += 1

    def _after_failure(self, error: Exception) -> None:
        """Report a database that is away, unless only this connection ended."""
        if isinstance(error, TimeoutError):
            self._availability.lost("no answer")
        elif isinstance(error, _AWAY):
            self._availability.lost(repr(error), patience_seconds=RESTART_SECONDS)

    async def _serve(self, connection: BoundedConnection) -> None:
        connection.add_termination_listener(self._on_connection_lost)
        try:
            for channel in () if connection.pooled else self._channels:
                await connection.add_listener(channel, self._on_notification)
            self._availability.restored()
            self.connected.set()
            for handler in self._channels.values():
                handler("")
            while not connection.is_closed():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), PING_SECONDS)
                self._wake.clear()
                # Also without pending notifications: a lost peer is noticed only by sending.
                await self._send_pending(connection)
        finally:
            self.connected.clear()
            connection.terminate()

    def _on_connection_lost(self, _connection: Connection | PoolConnection) -> None:
        self._wake.set()

    async def _send_pending(self, connection: BoundedConnection) -> None:
        pairs, self._pending = list(self._pending), set()
        sending = asyncio.ensure_future(_send(connection, pairs))
        try:
            if not (await asyncio.wait({sending}, timeout=PONG_SECONDS))[0]:
                await asyncio.wait({sending}, timeout=STALL_SECONDS)
            if not sending.done():
                raise TimeoutError("no answer to a ping")
        finally:
            sending.cancel()
        await sending
        self._availability.answered()
        if connection.in_standby:
            raise DatabaseAwayError("the server is a standby")

    def _on_notification(
        self, _connection: Connection | PoolConnection, _pid: int, channel: str, payload: object
    ) -> None:
        self._channels[channel](str(payload))


async def _send(connection: BoundedConnection, pairs: list[tuple[str, str]]) -> None:
    await connection.execute(
        "SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS n (c, p)",
        [channel for channel, _ in pairs],
        [payload for _, payload in pairs],
    )
