"""Submissions as a request of a caller makes them."""

from datetime import datetime

from runwright.core.job_state import Trigger
from runwright.core.roles import Caller
from runwright.jobs.store.submit import DEFAULT_PRIORITY, Submission, new_submission


def submission(
    caller: Caller,
    worker_id: str,
    now: datetime,
    *,
    input: bytes = b"{}",
    trigger: Trigger = Trigger.MANUAL,
    priority: int = DEFAULT_PRIORITY,
    scheduled_at: datetime | None = None,
) -> Submission:
    return new_submission(
        tenant_id=caller.tenant_id,
        worker_id=worker_id,
        input=input,
        trigger=trigger,
        triggered_by=caller.user_id,
        now=now,
        priority=priority,
        scheduled_at=scheduled_at,
    )
