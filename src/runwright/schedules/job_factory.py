"""Submit a job for each tick of a worker's schedule."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission
from runwright.schedules.firing import DueTick, TickResult
from runwright.schedules.model import Schedule
from runwright.schedules.tick_policy import TickReason

_REASONS: Final = {
    Rejection.WORKER_MISSING: TickReason.WORKER_DEPRECATED,
    Rejection.WORKER_PAUSED: TickReason.WORKER_PAUSED,
    Rejection.WORKER_DEPRECATED: TickReason.WORKER_DEPRECATED,
    Rejection.NO_CODE: TickReason.WORKER_PAUSED,
    Rejection.TENANT_SUSPENDED: TickReason.TENANT_SUSPENDED,
}


async def submit_jobs(db: PoolConnection, ticks: Sequence[DueTick], now: datetime) -> Sequence[TickResult]:
    """Submit a job with the input of the schedule for each tick: the tick handler of workers."""
    jobs = [submission_for(one.schedule, one.scheduled_for, one.schedule.created_by, now) for one in ticks]
    answers = await insert_jobs(db, jobs)
    return [
        TickResult(None, _REASONS[answer]) if isinstance(answer, Rejection) else TickResult(job.id)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def submission_for(
    schedule: Schedule, scheduled_for: datetime, triggered_by: str, now: datetime
) -> Submission:
    """Return the job of a tick."""
    assert schedule.worker_id is not None  # noqa: S101  the owner is a worker
    return new_submission(
        tenant_id=schedule.tenant_id,
        worker_id=schedule.worker_id,
        input=bytes(schedule.input),
        trigger=Trigger.SCHEDULED,
        triggered_by=triggered_by,
        now=now,
        scheduled_at=scheduled_for,
        schedule_id=schedule.id,
    )
