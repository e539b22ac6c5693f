"""Fires schedules: the one clock. What a firing is and why it is exactly one: schedules/firing.py."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock, Stopwatch
from runwright.db.pool import Database, transient
from runwright.jobs.notifications import JobNotifications
from runwright.loops.pass_loop import PassLoop
from runwright.schedules.firing import Fired, Make, fire_due
from runwright.schedules.job_factory import make_jobs
from runwright.schedules.service import refresh_cursors
from runwright.schedules.store.ticks import due_ids, next_due_at
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import (
    ScheduleNotFired,
    SchedulesMovedToNewerZoneRules,
    SchedulesStopped,
    TickBatchFailed,
    TicksMissed,
    TicksProcessed,
)

LOOK_SECONDS: Final = 0.5
"""The longest pause, for schedules that were made or resumed meanwhile, anywhere."""

_BATCH: Final = 500
_LANES: Final = 2
"""Batches at once while a pass leaves ticks behind: one is judged while another commits."""


class Scheduler:
    """Sleeps until the next tick is due, at most half a second. Any number may run, on any machines."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        signals: JobNotifications,
        emit: Emit,
        make: Make = make_jobs,
        batch: int = _BATCH,
    ) -> None:
        self._make = make
        self._db = db
        self._clock = clock
        self._signals = signals
        self._emit = emit
        self._batch = batch
        self._refreshed = False
        self._behind = False
        self._unsaid = 0
        self.loop = PassLoop("scheduler", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Begin to fire."""
        self.loop.start()

    async def stop(self) -> None:
        """Fire no more; what was being fired is committed."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        now = self._clock()
        if not self._refreshed:
            await self._refresh(now)
        lanes = _LANES if self._behind else 1
        watch = Stopwatch()
        results = await asyncio.gather(
            *(fire_due(self._db, self._make, now=now, limit=self._batch) for _ in range(lanes)),
            return_exceptions=True,
        )
        judged = [done for done in results if isinstance(done, Fired)]
        for done in judged:
            self._tell(done, watch.seconds())
        errors = [error for error in results if isinstance(error, BaseException)]
        if errors:
            await self._mend(errors, now)
            return LOOK_SECONDS
        self._behind = any(done.schedules == self._batch for done in judged)
        if not self._behind:
            self._hint()
        return 0.0 if self._behind else await self._pause()

    def _hint(self) -> None:
        """Wake the executors; not while ticks are left behind, which their jobs would make later still."""
        if self._unsaid:
            self._signals.jobs_ready()
            self._unsaid = 0

    async def _mend(self, errors: Sequence[BaseException], now: datetime) -> None:
        """Raise what the next pass may do better; else fire one by one, so that the others pass."""
        for error in errors:
            if not isinstance(error, Exception) or transient(error):
                raise error
        self._emit(TickBatchFailed(error=error_text(errors[0])))
        await self._fire_one_by_one(now)
        self._hint()

    async def _pause(self) -> float:
        at = await next_due_at(self._db)
        if at is None:
            return LOOK_SECONDS
        return min(max((at - self._clock()).total_seconds(), 0.001), LOOK_SECONDS)

    async def _refresh(self, now: datetime) -> None:
        """Once, for a release with newer zone rules: ticks that are to come are where those put them."""
        while moved := await refresh_cursors(self._db, now=now, limit=self._batch):
            self._emit(SchedulesMovedToNewerZoneRules(schedules=moved))
        self._refreshed = True

    async def _fire_one_by_one(self, now: datetime) -> None:
        """Find the schedule that spoils its batch, and let the others pass."""
        for schedule_id in await due_ids(self._db, now=now, limit=self._batch):
            watch = Stopwatch()
            try:
                done = await fire_due(self._db, self._make, now=now, limit=1, only=schedule_id)
                self._tell(done, watch.seconds())
            except Exception as error:
                if transient(error):
                    raise
                self._emit(ScheduleNotFired(schedule_id=schedule_id, error=error_text(error)))

    def _tell(self, done: Fired, took_seconds: float) -> None:
        self._unsaid += done.fired
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
