"""What the ticks of AVA's schedules make: a job each, by the statement that accepts every job."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.ids import new_id
from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection
from runwright.jobs.store.submit import TENANT_SUSPENDED, Refused, Submission, insert_jobs
from runwright.schedules.firing import Made, Wanted
from runwright.schedules.tick_policy import TickReason

_PRIORITY: Final = 5
_REFUSALS: Final = {"paused": TickReason.WORKER_PAUSED, TENANT_SUSPENDED: TickReason.TENANT_SUSPENDED}


async def make_jobs(db: PoolConnection, wanted: Sequence[Wanted], now: datetime) -> Sequence[Made]:
    """Queue a job with the schedule's input for each tick whose worker takes jobs."""
    jobs = [_submission(one, now) for one in wanted]
    answers = await insert_jobs(db, jobs)
    return [
        Made(None, _REFUSALS.get(answer.worker_status or "", TickReason.WORKER_DEPRECATED))
        if isinstance(answer, Refused)
        else Made(job.id)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _submission(one: Wanted, now: datetime) -> Submission:
    schedule = one.schedule
    assert schedule.worker_id is not None  # noqa: S101  it is a worker's
    return Submission(
        id=new_id("job", now),
        tenant_id=schedule.tenant_id,
        worker_id=schedule.worker_id,
        trigger=Trigger.SCHEDULED,
        priority=_PRIORITY,
        input=bytes(schedule.input),
        triggered_by=schedule.created_by,
        scheduled_at=one.scheduled_for,
        retry_of=None,
        created_at=now,
        wanted=False,
        schedule_id=schedule.id,
    )
