"""The figures of many workers in one statement: how their jobs ended, how long they took, what waits.

Sorted and limited by the database, so that a caller gets a bounded answer however many workers there are.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec

from runwright.analytics.queues import QueueSnapshot
from runwright.db.pool import Database


class WorkerOrder(StrEnum):
    """By what workers are sorted, the largest first."""

    TOTAL = "total"
    FAILURE_RATE = "failure_rate"
    P95_DURATION = "p95_duration"
    QUEUED = "queued"


class WorkerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one worker; `p50`, `p95` and `p99` are buckets of core/histogram.py."""

    worker_id: str
    worker_name: str
    max_concurrency: int | None
    total: int
    completed: int
    failed: int
    cancelled: int
    timed: int
    """Jobs with a duration."""
    duration_ms: int
    """The sum of their durations."""
    p50: int | None
    p95: int | None
    p99: int | None
    queued: int
    running: int
    oldest_due_at: datetime | None


_ORDERS: Final = {
    WorkerOrder.TOTAL: "total",
    WorkerOrder.FAILURE_RATE: "failed::float8 / NULLIF(total, 0)",
    WorkerOrder.P95_DURATION: "p95",
    WorkerOrder.QUEUED: "queued",
}
_ORDER: Final = "/* order */"

# ended: sums by worker. spread: for each bucket of durations, how many jobs took no longer.
_TOTALS: Final = """
WITH ended AS (
    -- how the jobs of each worker ended, from the counts of whole days and those not yet added to them
    SELECT worker_id, sum(jobs)::bigint AS total,
           coalesce(sum(jobs) FILTER (WHERE status = 'completed'), 0)::bigint AS completed,
           coalesce(sum(jobs) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
           coalesce(sum(jobs) FILTER (WHERE status = 'cancelled'), 0)::bigint AS cancelled,
           sum(timed)::bigint AS timed, sum(duration_ms)::bigint AS duration_ms
    FROM (
        SELECT worker_id, status, jobs, timed, duration_ms
        FROM job_counts WHERE tenant_id = $1 AND day >= $2
        UNION ALL
        SELECT worker_id, status, jobs, CASE WHEN bucket IS NULL THEN 0 ELSE jobs END, duration_ms
        FROM job_count_deltas WHERE tenant_id = $1 AND day >= $2
    ) AS both_kinds GROUP BY worker_id
), spread AS (
    -- how many of them took at most as long as each bucket of durations
    SELECT worker_id, bucket, sum(sum(jobs)) OVER (PARTITION BY worker_id ORDER BY bucket) AS upto,
           sum(sum(jobs)) OVER (PARTITION BY worker_id) AS jobs
    FROM (
        SELECT worker_id, bucket, jobs FROM job_durations WHERE tenant_id = $1 AND day >= $2
        UNION ALL
        SELECT worker_id, bucket, jobs FROM job_count_deltas
        WHERE tenant_id = $1 AND day >= $2 AND bucket IS NOT NULL
    ) AS both_kinds GROUP BY worker_id, bucket
), percentiles AS (
    -- the buckets in which half, 95 % and 99 % have ended
    SELECT worker_id, min(bucket) FILTER (WHERE upto >= ceil(jobs * 0.50)) AS p50,
           min(bucket) FILTER (WHERE upto >= ceil(jobs * 0.95)) AS p95,
           min(bucket) FILTER (WHERE upto >= ceil(jobs * 0.99)) AS p99
    FROM spread GROUP BY worker_id
), live AS (
    -- the live jobs, as they were counted before
    SELECT worker_id, queued, running, oldest_due_at
    FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[])
         AS sampled (worker_id, queued, running, oldest_due_at)
), figures AS (
    -- both, also of workers that have only one of them
    SELECT worker_id, coalesce(total, 0) AS total, coalesce(completed, 0) AS completed,
           coalesce(failed, 0) AS failed, coalesce(cancelled, 0) AS cancelled, coalesce(timed, 0) AS timed,
           coalesce(duration_ms, 0) AS duration_ms, coalesce(queued, 0) AS queued,
           coalesce(running, 0) AS running, oldest_due_at
    FROM ended FULL JOIN live USING (worker_id)
)
SELECT worker_id, workers.name AS worker_name, workers.max_concurrency, total, completed, failed, cancelled,
       timed, duration_ms, p50, p95, p99, queued, running, oldest_due_at, count(*) OVER () AS workers
FROM figures LEFT JOIN percentiles USING (worker_id)
JOIN workers ON workers.id = worker_id AND workers.tenant_id = $1
ORDER BY /* order */ DESC NULLS LAST, worker_id LIMIT $7
"""


async def fetch_worker_totals(
    db: Database, live: QueueSnapshot, *, tenant_id: str, since: date, order: WorkerOrder, limit: int
) -> tuple[list[WorkerCounts], int]:
    """Return the first workers in an order, and how many there are with jobs that ended or are live."""
    rows = await db.fetch(
        _TOTALS.replace(_ORDER, _ORDERS[order]),
        tenant_id,
        since,
        [depth.worker_id for depth in live.by_worker],
        [depth.queued for depth in live.by_worker],
        [depth.running for depth in live.by_worker],
        [live.oldest_due_at.get(depth.worker_id) for depth in live.by_worker],
        limit,
    )
    found = [WorkerCounts(**{name: row[name] for name in WorkerCounts.__struct_fields__}) for row in rows]
    return found, rows[0]["workers"] if rows else 0
