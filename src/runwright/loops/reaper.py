"""Requeues the jobs of executors that have lost their lease, and cancels those of deprecated workers.

While the database is away no executor can renew, so an expired lease proves nothing then. After such an
outage the executors get a grace period, in which they write the ends that they know.

Failure handling: where a batch fails, it is divided until the job at fault is alone; it delays no other.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from runwright.core.clock import Clock
from runwright.core.job_state import JobStatus
from runwright.db.batching import SplitDecision, divide
from runwright.db.pool import Database
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated, queued_jobs_of_deprecated
from runwright.leases.store import LeaseCheck, check_leases, lost_jobs, rescue_expired
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.jobs import JobsOfDeprecatedWorkersCancelled, JobsRescued, RescuePostponed
from runwright.telemetry.events.server import ItemSetAside

_BATCH: Final = 1000
_SWEEP_EVERY: Final = 5
OUTAGE_SECONDS: Final = 2.0
"""A pause between passes that is longer than their interval by this was an outage of the database."""

GRACE_SECONDS: Final = 5.0
_WITHIN: Final = timedelta(seconds=OUTAGE_SECONDS)

Result = TypeVar("Result")


class _Candidates(Protocol):
    async def __call__(self, db: Database, *, limit: int) -> Sequence[str]: ...


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
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        super().__init__("reaper", db, clock=clock, emit=emit)
        self._notifications = notifications
        self._interval_seconds = interval_seconds
        self._grace_seconds = grace_seconds
        self._grace_ends = -math.inf
        self._split = SplitDecision()
        self._reached_at = math.inf
        """When the database was last known to work, by the loop's clock."""

    async def _make_pass(self) -> float:
        check = await check_leases(self._db)
        rescued = 0
        if self._may_rescue(check):
            rescued = await self._rescue(check)
        sweep = self.loop.passes % _SWEEP_EVERY == 0
        cancelled = await self._cancel_of_deprecated() if sweep else 0
        return 0.0 if _BATCH in (rescued, cancelled) else self._interval_seconds

    def _may_rescue(self, check: LeaseCheck) -> bool:
        now = asyncio.get_running_loop().time()
        away_seconds = now - self._reached_at
        if away_seconds > self._interval_seconds + OUTAGE_SECONDS:
            self._grace_ends = now + self._grace_seconds
            self._emit(RescuePostponed(away_seconds=round(away_seconds, 1)))
        self._reached_at = now
        sweep = self.loop.passes % _SWEEP_EVERY == 0
        return (check.expired or sweep) and now >= self._grace_ends

    async def _rescue(self, check: LeaseCheck) -> int:
        loop = asyncio.get_running_loop()

        async def rescue(only: Sequence[str] | None = None) -> list[tuple[str, JobStatus]]:
            return await rescue_expired(
                self._db, now=self._clock(), before=check.at + _WITHIN, limit=_BATCH, only=only
            )

        rescued = await self._divided(rescue, lost_jobs)
        if rescued:  # else it may have been held up, which the next pass notices
            self._reached_at = loop.time()
            ended = [job for job, status in rescued if status is not JobStatus.QUEUED]
            self._emit(JobsRescued(requeued=len(rescued) - len(ended), ended=len(ended)))
            self._notifications.jobs_ended(ended)
            self._notifications.announce_ended(ended)
            self._notifications.jobs_ready()
        return len(rescued)

    async def _cancel_of_deprecated(self) -> int:
        """Cancel jobs that a deprecation left: later retries, and all of them after a crash."""

        async def cancel(only: Sequence[str] | None = None) -> list[str]:
            return await cancel_jobs_of_deprecated(self._db, now=self._clock(), limit=_BATCH, only=only)

        cancelled = await self._divided(cancel, queued_jobs_of_deprecated)
        if cancelled:
            self._emit(JobsOfDeprecatedWorkersCancelled(jobs=len(cancelled)))
            self._notifications.jobs_ended(cancelled)
            self._notifications.announce_ended(cancelled)
        return len(cancelled)

    async def _divided(
        self, act: Callable[[Sequence[str] | None], Awaitable[list[Result]]], candidates: _Candidates
    ) -> list[Result]:
        """Act on all jobs at once or, where that fails, on ever smaller parts of the candidates."""
        try:
            done = await act(None)
        except Exception as error:
            if not self._split.after(error):
                raise
        else:
            self._split.passed()
            return done
        parts: list[Result] = []

        async def part(job_ids: Sequence[str]) -> None:
            parts.extend(await act(job_ids))

        for job_id, why in await divide(await candidates(self._db, limit=_BATCH), part, self._split):
            self._emit(ItemSetAside(loop="reaper", id=job_id, error=error_text(why)))
        return parts
