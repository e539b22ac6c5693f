"""What the ticks of AVA's schedules make: a job each, by the statement that accepts every job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection
from runwright.jobs.store.submit import Rejection, Submission, insert_jobs, new_submission
from runwright.schedules.firing import Made, Wanted
from runwright.schedules.tick_policy import TickReason

_REASONS: Final = {
    Rejection.WORKER_MISSING: TickReason.WORKER_DEPRECATED,
    Rejection.WORKER_PAUSED: TickReason.WORKER_PAUSED,
    Rejection.WORKER_DEPRECATED: TickReason.WORKER_DEPRECATED,
    Rejection.TENANT_SUSPENDED: TickReason.TENANT_SUSPENDED,
}


async def make_jobs(db: PoolConnection, wanted: Sequence[Wanted], now: datetime) -> Sequence[Made]:
    """Queue a job with the schedule's input for each tick whose worker takes jobs."""
    jobs = [_submission(one, now) for one in wanted]
    answers = await insert_jobs(db, jobs)
    return [
        Made(None, _REASONS[answer]) if isinstance(answer, Rejection) else Made(job.id)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _submission(one: Wanted, now: datetime) -> Submission:
    schedule = one.schedule
    assert schedule.worker_id is not None  # noqa: S101  it is a worker's
    return new_submission(
        tenant_id=schedule.tenant_id,
        worker_id=schedule.worker_id,
        input=bytes(schedule.input),
        trigger=Trigger.SCHEDULED,
        triggered_by=schedule.created_by,
        now=now,
        scheduled_at=one.scheduled_for,
        schedule_id=schedule.id,
    )
