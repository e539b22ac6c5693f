"""The attempts of a job."""

from datetime import datetime
from typing import Final

from runwright.core.job_state import JobStatus
from runwright.db.pool import Database
from runwright.job_views.model import JobAttempt
from runwright.jobs.model import Job
from runwright.jobs.store.read import error_from

_OF_CURRENT_ATTEMPT: Final = (
    *("attempt", "status", "worker_version", "started_at", "completed_at", "duration_ms", "error"),
)


async def fetch_attempts(db: Database, *, job: Job) -> list[JobAttempt]:
    """Return the attempts of a job, oldest first; the last one is the current or final one."""
    rows = await db.fetch("SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY attempt, fence", job.id)
    attempts = [
        JobAttempt(
            attempt=row["attempt"],
            status=JobStatus.FAILED,
            worker_version=row["worker_version"],
            executor_id=row["executor_id"],
            claimed_at=row["claimed_at"],
            started_at=row["started_at"],
            completed_at=row["ended_at"],
            duration_ms=_milliseconds(row["started_at"], row["ended_at"]),
            error=error_from(row["error"]),
        )
        for row in rows
    ]
    if job.started_at is not None:
        run = await db.fetchrow(
            """
            SELECT executor_id, claimed_at FROM job_results WHERE tenant_id = $1 AND job_id = $2
            UNION ALL
            SELECT executor_id, started_at FROM job_queue WHERE tenant_id = $1 AND job_id = $2
            """,
            job.tenant_id,
            job.id,
        )
        current = {name: getattr(job, name) for name in _OF_CURRENT_ATTEMPT}
        executor_id, claimed_at = (None, None) if run is None else (run["executor_id"], run["claimed_at"])
        attempts.append(JobAttempt(executor_id=executor_id, claimed_at=claimed_at, **current))
    return attempts


def _milliseconds(start: datetime | None, end: datetime) -> int | None:
    return None if start is None else max(0, round((end - start).total_seconds() * 1000))
