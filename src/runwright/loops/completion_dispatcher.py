"""Tells those who follow something (jobs, executions of agents) of its end.

A pass takes wishes whose time has come and, in the same transaction, lets the handler of each kind
act on the ends: a crash before the commit leaves the wishes where they were, after it they are gone,
so each is acted on exactly once. Followers skip what another one holds, so any number of them may run.

Failure handling: where a batch fails, its wishes are taken one by one, and one that fails alone is
left for a while; it holds up nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

from runwright.core.clock import Clock, Stopwatch
from runwright.core.completion import CompletionCallback, DueCompletionCallback
from runwright.db.pool import Database, PoolConnection, transient
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import EndedJob
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import CompletionCallbackFailed, CompletionsDispatched

BATCH: Final = 200
PAUSE_SECONDS: Final = 0.5
GATHER_SECONDS: Final = 0.02
POSTPONE_SECONDS: Final = 10.0
_SHARE: Final = 10
"""Where a look is costly, the next one comes after this many times what it took."""

End = TypeVar("End")

Handler = Callable[[PoolConnection, Sequence[tuple[str, End]], datetime], Awaitable[None]]
"""Acts on ends, given as (subject, what has ended), in the follower's transaction."""

JobHandler = Handler[EndedJob]


class Source(Protocol[End]):
    """Where wishes are kept; see jobs/completion_callbacks.py."""

    async def anything(self, db: Database) -> bool:
        """Tell whether anybody waits for any end."""

    async def take(
        self, db: PoolConnection, *, kinds: Sequence[str], limit: int, now: datetime
    ) -> Sequence[DueCompletionCallback[End]]:
        """Take wishes whose time has come, in the caller's transaction."""

    async def postpone(self, db: Database, wish: CompletionCallback, *, until: datetime) -> None:
        """Leave a wish alone for a while."""


class CompletionDispatcher(Generic[End]):
    """Looks twice a second, and soon after `stir`: when something may have ended."""

    def __init__(
        self,
        db: Database,
        *,
        source: Source[End],
        handlers: Mapping[str, Handler[End]],
        clock: Clock,
        hints: EventNotifications,
        emit: Emit,
    ) -> None:
        """`handlers` by kind; wishes of other kinds are left to other processes."""
        self._db = db
        self._source = source
        self._handlers = handlers
        self._clock = clock
        self._hints = hints
        self._emit = emit
        self._anything = True
        self._took_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.loop = PassLoop("follower", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Begin to follow."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop following."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.loop.stop()

    def stir(self) -> None:
        """Say that something may have ended; often, if you like."""
        if self._anything and self._timer is None:
            pause = max(GATHER_SECONDS, self._took_seconds * _SHARE)
            self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        self._timer = None
        self.loop.wake()

    async def _make_pass(self) -> float:
        self._anything = await self._source.anything(self._db)
        if not self._anything:
            return PAUSE_SECONDS
        watch = Stopwatch()
        try:
            due = await self._take(BATCH)
        except Exception as error:
            if transient(error):
                raise
            due = await self._take_singly()
        self._took_seconds = watch.seconds()
        if due:
            self._emit(CompletionsDispatched(count=len(due), duration_seconds=self._took_seconds))
            self._hints.appended()
            self._hints.due()
        return 0.0 if len(due) == BATCH else PAUSE_SECONDS

    async def _take(self, limit: int) -> Sequence[DueCompletionCallback[End]]:
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            due = await self._source.take(db, kinds=list(self._handlers), limit=limit, now=now)
            await self._tell(db, due, now)
            return due

    async def _tell(
        self, db: PoolConnection, due: Sequence[DueCompletionCallback[End]], now: datetime
    ) -> None:
        for kind, handler in self._handlers.items():
            ends = [(one.wish.subject_id, one.end) for one in due if one.wish.kind == kind]
            if ends:
                await handler(db, ends, now)

    async def _take_singly(self) -> Sequence[DueCompletionCallback[End]]:
        """Find the one that fails: take one at a time, and leave that one for a while."""
        told: list[DueCompletionCallback[End]] = []
        for _ in range(BATCH):
            now = self._clock()
            due: Sequence[DueCompletionCallback[End]] = ()
            try:
                async with self._db.acquire() as db, db.transaction():
                    due = await self._source.take(db, kinds=list(self._handlers), limit=1, now=now)
                    await self._tell(db, due, now)
            except Exception as error:
                if not due or transient(error):
                    raise
                self._emit(CompletionCallbackFailed(kind=due[0].wish.kind, error=error_text(error)))
                later = now + timedelta(seconds=POSTPONE_SECONDS)
                await self._source.postpone(self._db, due[0].wish, until=later)
                continue
            if not due:
                break
            told += due
        return told
