"""Fire due schedules. schedules/firing.py explains why each tick fires exactly once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock, Stopwatch
from runwright.db.batching import SplitDecision, divide
from runwright.db.errors import may_be_one_items
from runwright.db.pool import Database
from runwright.jobs.notifications import JobNotifications
from runwright.loops.pass_loop import DatabaseLoop
from runwright.schedules.firing import FiringSummary, TickHandler, fire_due
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.service import refresh_cursors
from runwright.schedules.store.schedules import outdated_ids
from runwright.schedules.store.ticks import due_ids, next_due_at
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.schedules import (
    ScheduleNotFired,
    SchedulesMovedToNewerZoneRules,
    SchedulesStopped,
    TickBatchFailed,
    TicksMissed,
    TicksProcessed,
)

POLL_SECONDS: Final = 0.5
"""The longest pause, after which schedules that other servers have created or resumed are found."""
OVERDUE_SECONDS: Final = 0.02
"""The pause while a schedule is due that this pass did not fire: another scheduler holds it, as a rule."""

_BATCH: Final = 500
_MAX_IN_FLIGHT: Final = 2
"""Concurrent batches while there is a backlog: one is judged while another commits."""


class Scheduler(DatabaseLoop):
    """Sleeps until the next tick is due, at most half a second. Any number of schedulers may run at once."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        notifications: JobNotifications,
        emit: Emit,
        handler: TickHandler = submit_jobs,
        batch: int = _BATCH,
    ) -> None:
        super().__init__("scheduler", db, clock=clock, emit=emit)
        self._handler = handler
        self._notifications = notifications
        self._batch = batch
        self._refreshed = False
        self._has_backlog = False
        self._split = SplitDecision()
        self._unannounced = 0

    async def _make_pass(self) -> float:
        now = self._clock()
        if not self._refreshed:
            await self._refresh(now)
        batches = _MAX_IN_FLIGHT if self._has_backlog else 1
        watch = Stopwatch()
        results = await asyncio.gather(
            *(fire_due(self._db, self._handler, now=now, limit=self._batch) for _ in range(batches)),
            return_exceptions=True,
        )
        judged = [done for done in results if isinstance(done, FiringSummary)]
        for done in judged:
            self._report(done, watch.seconds())
        errors = [error for error in results if isinstance(error, BaseException)]
        if errors:
            await self._recover(errors, now)
            return POLL_SECONDS
        self._split.passed()
        self._has_backlog = any(done.schedules == self._batch for done in judged)
        if not self._has_backlog:
            self._announce()
        return 0.0 if self._has_backlog else await self._pause()

    def _announce(self) -> None:
        """Wake the executors. Not during a backlog, which their jobs would delay further."""
        if self._unannounced:
            self._notifications.jobs_ready()
            self._unannounced = 0

    async def _recover(self, errors: Sequence[BaseException], now: datetime) -> None:
        """Raise an error that a retry may resolve; else fire one by one, to isolate the failing schedule."""
        for error in errors:
            if not isinstance(error, Exception) or not self._split.after(error):
                raise error
        self._emit(TickBatchFailed(error=error_text(errors[0])))
        await self._fire_one_by_one(now)
        self._announce()

    async def _pause(self) -> float:
        at = await next_due_at(self._db)
        if at is None:
            return POLL_SECONDS
        seconds = (at - self._clock()).total_seconds()
        return min(seconds, POLL_SECONDS) if seconds > 0 else OVERDUE_SECONDS

    async def _refresh(self, now: datetime) -> None:
        """Recompute cursors once after the start, since a release may bring newer time zone rules."""
        ids = await outdated_ids(self._db, now=now)
        for first in range(0, len(ids), self._batch):
            part = ids[first : first + self._batch]
            failed = await divide(part, lambda some: refresh_cursors(self._db, some, now=now), self._split)
            for schedule_id, error in failed:
                self._emit(ScheduleNotFired(schedule_id=schedule_id, error=error_text(error)))
            self._emit(SchedulesMovedToNewerZoneRules(schedules=len(part) - len(failed)))
        self._refreshed = True

    async def _fire_one_by_one(self, now: datetime) -> None:
        """Fire each schedule in its own transaction, so that a failing one does not block the others."""
        for schedule_id in await due_ids(self._db, now=now, limit=self._batch):
            watch = Stopwatch()
            try:
                done = await fire_due(self._db, self._handler, now=now, limit=1, only=schedule_id)
                self._report(done, watch.seconds())
            except Exception as error:
                if not may_be_one_items(error):
                    raise
                self._emit(ScheduleNotFired(schedule_id=schedule_id, error=error_text(error)))

    def _report(self, done: FiringSummary, took_seconds: float) -> None:
        self._unannounced += done.fired
        if done.schedules:
            self._emit(
                TicksProcessed(
                    schedules=done.schedules,
                    fired=done.fired,
                    skipped=done.skipped,
                    missed=done.missed,
                    lateness_seconds=done.latest_ms / 1000,
                    duration_seconds=took_seconds,
                )
            )
        if done.missed:
            self._emit(TicksMissed(ticks=done.missed))
        if done.stopped:
            self._emit(SchedulesStopped(schedules=done.stopped))
