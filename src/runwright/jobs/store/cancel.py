"""Cancelling: at once while a job is queued, by request while it runs."""

from datetime import datetime
from typing import Final

import msgspec

from runwright.db.pool import Database, PoolConnection
from runwright.jobs.store.event_sql import JOB_ENDED
from runwright.jobs.store.rescue import CANCELLED_ERROR
from runwright.jobs.store.rollup import TALLY


class Cancellation(msgspec.Struct, frozen=True):
    """What a cancel did: `state` is `cancelled`, `running` (asked for), `ended`, or None (no such job)."""

    state: str | None
    executor_id: str | None = None
    wanted: bool = False


_CANCEL_QUEUED: Final = f"""
WITH ended AS (
    DELETE FROM job_queue q WHERE {{which}} AND q.state IN ('waiting', 'ready')
    RETURNING q.*, 'cancelled' AS status, $1::timestamptz AS ended_at, NULL::integer AS duration_ms,
              $2::json AS error
), result AS (
    INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version,
                             completed_at, error, cancel_requested_at)
    SELECT tenant_id, job_id, worker_id, 'cancelled', attempt, worker_version, ended_at, error, ended_at
    FROM ended
), {JOB_ENDED}, {TALLY}
SELECT job_id, wanted FROM ended
"""


async def cancel_job(db: PoolConnection, *, tenant_id: str, job_id: str, now: datetime) -> Cancellation:
    """Cancel a queued job, or record the wish to cancel a running one (the first wish stays).

    Called inside a transaction; the row is locked first, so that it cannot change in between.
    """
    state = await db.fetchval(
        "SELECT state FROM job_queue WHERE tenant_id = $1 AND job_id = $2 FOR UPDATE", tenant_id, job_id
    )
    if state is None:
        known = await db.fetchval("SELECT true FROM jobs WHERE tenant_id = $1 AND id = $2", tenant_id, job_id)
        return Cancellation("ended" if known else None)
    if state == "running":
        row = await db.fetchrow(
            """
            UPDATE job_queue SET cancel_requested_at = coalesce(cancel_requested_at, $3)
            WHERE tenant_id = $1 AND job_id = $2 RETURNING executor_id, wanted
            """,
            tenant_id,
            job_id,
            now,
        )
        assert row is not None  # noqa: S101  the row is locked
        return Cancellation("running", row["executor_id"], row["wanted"])
    sql = _CANCEL_QUEUED.format(which="q.tenant_id = $3 AND q.job_id = $4")
    row = await db.fetchrow(sql, now, CANCELLED_ERROR, tenant_id, job_id)
    assert row is not None  # noqa: S101  the row is locked
    return Cancellation("cancelled", None, row["wanted"])


_DEPRECATED_ERROR: Final = (
    b'{"code":"cancelled","message":"The worker was deprecated before the job could start."}'
)


async def cancel_jobs_of_deprecated(db: Database, *, now: datetime, limit: int = 1000) -> list[str]:
    """Cancel queued jobs whose worker is deprecated; returns their ids, at most `limit`."""
    sql = _CANCEL_QUEUED.format(
        which="""(q.tenant_id, q.job_id) IN (
            SELECT o.tenant_id, o.job_id
            FROM workers w CROSS JOIN LATERAL (
                SELECT r.tenant_id, r.job_id FROM job_queue r
                WHERE r.tenant_id = w.tenant_id AND r.worker_id = w.id AND r.state = 'ready'
                UNION ALL
                SELECT r.tenant_id, r.job_id FROM job_queue r
                WHERE r.tenant_id = w.tenant_id AND r.worker_id = w.id AND r.state = 'waiting'
            ) o
            WHERE w.status = 'deprecated' LIMIT $3
        )"""
    )
    return [row[0] for row in await db.fetch(sql, now, _DEPRECATED_ERROR, limit)]
