"""Requeues the jobs of executors that have lost their lease, and cancels those of deprecated workers."""

from typing import Final

from runwright.core.clock import Clock
from runwright.core.job_state import JobStatus
from runwright.db.pool import Database
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.jobs.store.executors import rescue_expired
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import JobsOfDeprecatedWorkersCancelled, JobsRescued

_BATCH: Final = 1000
_SWEEP_EVERY: Final = 5


class Reaper(DatabaseLoop):
    """Makes a pass every `interval_seconds`. Any number of reapers may run; they skip locked rows."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        notifications: JobNotifications,
        emit: Emit,
        interval_seconds: float,
    ) -> None:
        super().__init__("reaper", db, clock=clock, emit=emit)
        self._notifications = notifications
        self._interval_seconds = interval_seconds

    async def _make_pass(self) -> float:
        rescued = await rescue_expired(self._db, now=self._clock(), limit=_BATCH)
        if rescued:
            ended = [job for job, status in rescued if status is not JobStatus.QUEUED]
            self._emit(JobsRescued(requeued=len(rescued) - len(ended), ended=len(ended)))
            self._notifications.jobs_ended(ended)
            self._notifications.announce_ended(ended)
            self._notifications.jobs_ready()
        cancelled = await self._cancel_of_deprecated() if self.loop.passes % _SWEEP_EVERY == 0 else 0
        return 0.0 if _BATCH in (len(rescued), cancelled) else self._interval_seconds

    async def _cancel_of_deprecated(self) -> int:
        """Cancel jobs that a deprecation left: later retries, and all of them after a crash."""
        cancelled = await cancel_jobs_of_deprecated(self._db, now=self._clock(), limit=_BATCH)
        if cancelled:
            self._emit(JobsOfDeprecatedWorkersCancelled(jobs=len(cancelled)))
            self._notifications.jobs_ended(cancelled)
            self._notifications.announce_ended(cancelled)
        return len(cancelled)
