"""What one client of the event feed gets, and what waits for it.

A stream holds at most `MOST_PENDING` events, with `MOST_PENDING_BYTES` of data, that its client has not
taken. Above that it ends: nothing is buffered without bound, and one slow client delays no other.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from runwright.events.feed_store import LoggedEvent
from runwright.events.log_position import LogPosition

MOST_PENDING: Final = 5_000
MOST_PENDING_BYTES: Final = 8 * 1024 * 1024


class FeedEvent(msgspec.Struct):
    """An event in the feed, and the position after it. `frame` is for the streams, which share it."""

    logged: LoggedEvent
    position: LogPosition
    frame: bytes = b""

    @property
    def size(self) -> int:
        """The bytes of its data."""
        return len(bytes(self.logged.event.data or b""))


class LogHint(msgspec.Struct, frozen=True):
    """A job has written log lines."""

    subject_id: str
    worker_id: str


class ProgressHint(msgspec.Struct, frozen=True):
    """How far a job is, as its handler reported last."""

    subject_id: str
    worker_id: str
    fraction: float | None
    message: str | None
    updated_at: datetime


class Gone(msgspec.Struct, frozen=True):
    """Events may be missing: the stream continues from this position."""

    position: LogPosition


class EndReason(StrEnum):
    """Why a stream ended that its client has not closed."""

    STOPPING = "server_stopping"
    SLOW = "too_slow"
    REVOKED = "access_ended"
    UNAVAILABLE = "unavailable"


JobHint: TypeAlias = LogHint | ProgressHint
FeedPart: TypeAlias = FeedEvent | JobHint | Gone


class FeedStream:
    """What one client gets of a tenant's events."""

    def __init__(self, selects: Callable[[FeedEvent | JobHint], bool]) -> None:
        """`selects`: which events and hints it is given."""
        self.joined = asyncio.Event()
        self.start: LogPosition | None = None
        """The position at which it joined."""
        self.ended: EndReason | None = None
        self.selects = selects
        self._woken = asyncio.Event()
        self._pending: deque[FeedPart] = deque()
        self._pending_bytes = 0
        self._repeated: frozenset[int] = frozenset()

    async def wait_joined(self, seconds: float) -> bool:
        """Return whether the stream has joined, or has ended, after waiting for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.joined.wait()
        return self.joined.is_set()

    def join(self, start: LogPosition) -> None:
        """Let the stream get everything from now on, unless it has ended."""
        self.start = start
        self.joined.set()

    def offer(self, parts: Sequence[FeedPart]) -> None:
        """Add what the client has selected of this; end the stream where too much is waiting already."""
        if self.ended is not None:
            return
        selected = [part for part in parts if isinstance(part, Gone) or self.selects(part)]
        if not selected:
            return
        self._pending_bytes += sum(part.size for part in selected if isinstance(part, FeedEvent))
        if len(self._pending) + len(selected) > MOST_PENDING or self._pending_bytes > MOST_PENDING_BYTES:
            self.end(EndReason.SLOW)
            return
        self._pending += selected
        self._woken.set()

    def end(self, reason: EndReason) -> None:
        """End the stream: what is pending is dropped, unless the server stops."""
        if self.ended is None:
            self.ended = reason
            if reason is not EndReason.STOPPING:
                self._pending.clear()
            self.joined.set()
            self._woken.set()

    def leave_out(self, positions: Collection[int]) -> None:
        """Do not give events that the client got while it caught up."""
        self._repeated = frozenset(positions)

    async def next(self, seconds: float) -> list[FeedPart] | None:
        """Return what is new, an empty list if nothing is in time; None once the stream has ended."""
        if not self._pending and self.ended is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()
        if not self._pending and self.ended is not None:
            return None
        parts = [part for part in self._pending if not self._is_repeated(part)]
        self._pending.clear()
        self._pending_bytes = 0
        return parts

    def _is_repeated(self, part: FeedPart) -> bool:
        return isinstance(part, FeedEvent) and part.logged.event.position in self._repeated
