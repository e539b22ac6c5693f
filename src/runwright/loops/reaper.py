"""Returns the jobs of dead executors to the queue, and ends those that nobody will ever run."""

from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.jobs.store.rescue import rescue_expired
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import JobsOfDeprecatedWorkersCancelled, JobsRescued

_BATCH: Final = 1000
_SWEEP_EVERY: Final = 5


class Reaper:
    """Makes a pass every `interval_seconds`. Any number of reapers may run; they skip each other's rows."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        signals: JobNotifications,
        emit: Emit,
        interval_seconds: float,
    ) -> None:
        self._db = db
        self._clock = clock
        self._signals = signals
        self._emit = emit
        self._interval_seconds = interval_seconds
        self.loop = PassLoop("reaper", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Begin to look for dead executors."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        rescued = await rescue_expired(self._db, now=self._clock(), limit=_BATCH)
        if rescued:
            ended = [job for job, status in rescued if status != "queued"]
            self._emit(JobsRescued(requeued=len(rescued) - len(ended), ended=len(ended)))
            self._signals.jobs_ended(ended)
            self._signals.announce_ended(ended)
            self._signals.jobs_ready()
        cancelled = await self._cancel_of_deprecated() if self.loop.passes % _SWEEP_EVERY == 0 else 0
        return 0.0 if _BATCH in (len(rescued), cancelled) else self._interval_seconds

    async def _cancel_of_deprecated(self) -> int:
        """Cancel what a deprecation left: retries that came back later, and all of it after a crash."""
        cancelled = await cancel_jobs_of_deprecated(self._db, now=self._clock(), limit=_BATCH)
        if cancelled:
            self._emit(JobsOfDeprecatedWorkersCancelled(jobs=len(cancelled)))
            self._signals.jobs_ended(cancelled)
            self._signals.announce_ended(cancelled)
        return len(cancelled)
