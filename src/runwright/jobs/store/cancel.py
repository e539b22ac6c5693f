"""Cancelling: at once while a job is queued, by request while it runs."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode, QueueState
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.model import JobError
from runwright.jobs.store.finish import CANCELLED_ERROR, RECORD_ENDED

_DEPRECATED_ERROR: Final = msgspec.json.encode(
    JobError(ErrorCode.CANCELLED, "The worker was deprecated before the job could start.")
)


class CancelResult(StrEnum):
    """What a cancel did."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"
    """It runs; its executor stops it."""
    ALREADY_ENDED = "already ended"
    NOT_FOUND = "not found"


class Cancellation(msgspec.Struct, frozen=True):
    """What a cancel did, the executor that runs the job, and whether a request waits for its end."""

    result: CancelResult
    executor_id: str | None = None
    awaited: bool = False


CANCEL_QUEUED: Final = f"""
WITH ended AS (
    -- the queued jobs that are cancelled
    DELETE FROM job_queue q WHERE {{which}} AND q.state IN ('waiting', 'ready')
    RETURNING q.tenant_id, q.job_id, q.worker_id, q.trigger, 'cancelled' AS status, q.attempt, q.executor_id,
              q.worker_version, NULL::timestamptz AS claimed_at, q.started_at, $1::timestamptz AS ended_at,
              NULL::integer AS duration_ms,
              NULL::json AS output, $2::json AS error, $1::timestamptz AS cancel_requested_at, q.wanted
), {RECORD_ENDED}
SELECT job_id, wanted AS awaited FROM ended
"""
"""Cancels the queued jobs that `which` selects; $1 is the time, $2 the error."""

_CANCEL_ONE: Final = CANCEL_QUEUED.format(which="q.tenant_id = $3 AND q.job_id = $4")
_CANCEL_OF_DEPRECATED: Final = CANCEL_QUEUED.format(
    which="""(q.tenant_id, q.job_id) IN (
        SELECT o.tenant_id, o.job_id
        FROM workers w CROSS JOIN LATERAL (
            SELECT r.tenant_id, r.job_id FROM job_queue r
            WHERE r.tenant_id = w.tenant_id AND r.worker_id = w.id AND r.state = 'ready'
            UNION ALL
            SELECT r.tenant_id, r.job_id FROM job_queue r
            WHERE r.tenant_id = w.tenant_id AND r.worker_id = w.id AND r.state = 'waiting'
        ) o
        WHERE w.status = 'deprecated' AND ($4::text[] IS NULL OR o.job_id = ANY ($4)) LIMIT $3
    )"""
)
_OF_DEPRECATED: Final = """
SELECT q.job_id FROM workers w JOIN job_queue q ON q.tenant_id = w.tenant_id AND q.worker_id = w.id
WHERE w.status = 'deprecated' AND q.state IN ('waiting', 'ready') LIMIT $1
"""


async def cancel_job(db: PoolConnection, *, tenant_id: str, job_id: str, now: datetime) -> Cancellation:
    """Cancel a queued job, or request the cancel of a running one (the first request's time stays).

    Called inside a transaction; the row is locked first, so that it cannot change in between.
    """
    state = await db.fetchval(
        "SELECT state FROM job_queue WHERE tenant_id = $1 AND job_id = $2 FOR UPDATE", tenant_id, job_id
    )
    if state is None:
        known = await db.fetchval("SELECT true FROM jobs WHERE tenant_id = $1 AND id = $2", tenant_id, job_id)
        return Cancellation(CancelResult.ALREADY_ENDED if known else CancelResult.NOT_FOUND)
    if state == QueueState.RUNNING:
        row = await db.fetchrow(
            """
            UPDATE job_queue SET cancel_requested_at = coalesce(cancel_requested_at, $3)
            WHERE tenant_id = $1 AND job_id = $2 RETURNING executor_id, wanted AS awaited
            """,
            tenant_id,
            job_id,
            now,
        )
        assert row is not None  # noqa: S101  the row is locked
        return Cancellation(CancelResult.REQUESTED, row["executor_id"], row["awaited"])
    row = await db.fetchrow(_CANCEL_ONE, now, CANCELLED_ERROR, tenant_id, job_id)
    assert row is not None  # noqa: S101  the row is locked
    return Cancellation(CancelResult.CANCELLED, None, row["awaited"])


async def queued_jobs_of_deprecated(db: Database, *, limit: int) -> list[str]:
    """Return up to `limit` jobs that `cancel_jobs_of_deprecated` would cancel, without locking them."""
    return [row["job_id"] for row in await db.fetch(_OF_DEPRECATED, limit)]


async def cancel_jobs_of_deprecated(
    db: Database, *, now: datetime, limit: int = 1000, only: Sequence[str] | None = None
) -> list[str]:
    """Cancel up to `limit` queued jobs of deprecated workers; return their ids. `only`: of these jobs."""
    rows = await db.fetch(_CANCEL_OF_DEPRECATED, now, _DEPRECATED_ERROR, limit, only)
    return [row["job_id"] for row in rows]
