"""Tells those who follow jobs of their ends.

A pass takes follows whose job has ended and, in the same transaction, lets the handler of each kind
act on them: a crash before the commit leaves them where they were, after it they are gone, so each
end is acted on exactly once. Followers skip what another one holds, so any number of them may run.

Failure handling: where a batch fails, its follows are taken one by one, and one that fails alone is
left for a while; it holds up nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from runwright.core.clock import Clock
from runwright.core.notices import Notice
from runwright.db.pool import Database, PoolConnection, transient
from runwright.engine.loop import PassLoop
from runwright.events.hints import EventHints
from runwright.jobs.follow import DueFollow, EndedJob, anything_followed, postpone_follow, take_ended
from runwright.jobs.signals import JobSignals

BATCH: Final = 200
PAUSE_SECONDS: Final = 0.5
GATHER_SECONDS: Final = 0.02
POSTPONE_SECONDS: Final = 10.0
_SHARE: Final = 10
"""Where a look is costly, the next one comes after this many times what it took."""

JobHandler = Callable[[PoolConnection, Sequence[tuple[str, EndedJob]], datetime], Awaitable[None]]
"""Acts on the ends of jobs, given as (subject, ended job), in the follower's transaction."""


class Follower:
    """Looks when a job of this process has ended, and twice a second."""

    def __init__(
        self,
        db: Database,
        *,
        handlers: Mapping[str, JobHandler],
        clock: Clock,
        signals: JobSignals,
        hints: EventHints,
        notice: Notice,
    ) -> None:
        """`handlers` by kind; follows of other kinds are left to other processes."""
        self._db = db
        self._handlers = handlers
        self._clock = clock
        self._hints = hints
        self._notice = notice
        self._anything = True
        self._took_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.loop = PassLoop("follower", self._make_pass, notice=notice)
        signals.on_moved(self._on_moved)

    async def start(self) -> None:
        """Begin to follow."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop following."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.loop.stop()

    def _on_moved(self) -> None:
        if self._anything and self._timer is None:
            pause = max(GATHER_SECONDS, self._took_seconds * _SHARE)
            self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        self._timer = None
        self.loop.wake()

    async def _make_pass(self) -> float:
        self._anything = await anything_followed(self._db)
        if not self._anything:
            return PAUSE_SECONDS
        began = asyncio.get_running_loop().time()
        try:
            due = await self._take(BATCH)
        except Exception as error:
            if transient(error):
                raise
            due = await self._take_singly()
        self._took_seconds = asyncio.get_running_loop().time() - began
        if due:
            self._notice("job_ends_told", count=len(due))
            self._hints.appended()
            self._hints.due()
        return 0.0 if len(due) == BATCH else PAUSE_SECONDS

    async def _take(self, limit: int) -> Sequence[DueFollow]:
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            due = await take_ended(db, kinds=list(self._handlers), limit=limit, now=now)
            await self._tell(db, due, now)
            return due

    async def _tell(self, db: PoolConnection, due: Sequence[DueFollow], now: datetime) -> None:
        for kind, handler in self._handlers.items():
            ends = [(one.subject_id, one.job) for one in due if one.kind == kind]
            if ends:
                await handler(db, ends, now)

    async def _take_singly(self) -> Sequence[DueFollow]:
        """Find the one that fails: take one at a time, and leave that one for a while."""
        told: list[DueFollow] = []
        for _ in range(BATCH):
            now = self._clock()
            due: Sequence[DueFollow] = ()
            try:
                async with self._db.acquire() as db, db.transaction():
                    due = await take_ended(db, kinds=list(self._handlers), limit=1, now=now)
                    await self._tell(db, due, now)
            except Exception as error:
                if not due or transient(error):
                    raise
                self._notice("job_end_not_told", kind=due[0].kind, error=f"{type(error).__name__}: {error}")
                await postpone_follow(self._db, due[0], until=now + timedelta(seconds=POSTPONE_SECONDS))
                continue
            if not due:
                break
            told += due
        return told
