"""Whether the database answers, shared by everything in this process that has a connection to it.

States: available -> away (a ping had no answer, or connecting failed) -> available (connected again).

A database whose host vanished, or that hangs, resets no connection: a statement would wait for as long
as its time-out allows. So the listener pings (`db/notifications.py`), and when a ping has no answer all
connections of the process are dropped, statements that wait fail at once, and new connections are refused
until the listener has one again. In the other direction, a statement that had no answer in time makes the
listener ping at once.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from runwright.telemetry.emit import Emit, ignore_event
from runwright.telemetry.events.database import DatabaseAway, DatabaseBack

_AWAY: Final = "the database does not answer"

T = TypeVar("T")


class DatabaseAwayError(ConnectionError):
    """The database does not answer."""


class Droppable(Protocol):
    """A connection that can be closed without asking the server."""

    def drop(self) -> None: ...


class Availability:
    """One per process; a pool that is opened without one has its own, which is always available."""

    def __init__(self, emit: Emit = ignore_event) -> None:
        self._emit = emit
        self._connections: WeakSet[Droppable] = WeakSet()
        self._attempts: set[asyncio.Task[Any]] = set()
        self._available = asyncio.Event()
        self._available.set()
        self._refuse_from = 0.0
        self._answered_at = time.monotonic()
        self._on_doubt: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        """Return whether the database answers, as far as is known."""
        return self._available.is_set()

    def on_doubt(self, call: Callable[[], None]) -> None:
        """Set what is called when a statement had no answer in time."""
        self._on_doubt = call

    def track(self, connection: Droppable) -> None:
        """Drop this connection too when the database is lost."""
        self._connections.add(connection)

    def answered(self) -> None:
        """Report that a statement had an answer."""
        self._answered_at = time.monotonic()

    def silent_seconds(self) -> float:
        """Return how long nothing had an answer; pings have one every second."""
        return time.monotonic() - self._answered_at

    def doubt(self) -> None:
        """Report that a statement had no answer in time."""
        self._on_doubt()

    def lost(self, reason: str, *, patience_seconds: float = 0.0) -> None:
        """The database does not answer: drop all connections, and refuse new ones until `restored`.

        In the first `patience_seconds` they are not refused but wait, because the server may only be
        restarting.
        """
        if not self._available.is_set():
            return
        self._emit(DatabaseAway(reason=reason, dropped=len(self._connections)))
        self._available.clear()
        self._refuse_from = asyncio.get_running_loop().time() + patience_seconds
        for connection in list(self._connections):
            connection.drop()
        self._connections.clear()
        for attempt in self._attempts:
            attempt.cancel()

    def restored(self) -> None:
        """The database answers again."""
        if not self._available.is_set():
            self._emit(DatabaseBack())
        self._available.set()

    async def ensure(self) -> None:
        """Return when the database answers, or raise DatabaseAwayError."""
        if self._available.is_set():
            return
        try:
            async with asyncio.timeout_at(self._refuse_from):
                await self._available.wait()
        except TimeoutError:
            raise DatabaseAwayError(_AWAY) from None

    async def while_available(self, attempt: Coroutine[None, None, T]) -> T:
        """Return the result of an attempt to connect, or raise DatabaseAwayError at once when `lost`."""
        task = asyncio.create_task(attempt)
        self._attempts.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise DatabaseAwayError(_AWAY) from None
        finally:
            self._attempts.discard(task)
