"""The analytics rollup: counts of ended jobs, folded from rows of single jobs, and read.

Every statement that ends jobs appends rows to job_count_deltas (see jobs/store/finish.py). These are only
ever inserted and deleted, so statements that end jobs never wait for each other; folding them holds
an advisory lock for its one statement. A reader adds what is folded and what is not, in one snapshot.
"""

from datetime import date
from typing import Final

import msgspec

from runwright.db.pool import Database

_FOLD_LOCK: Final = 0x72776674  # an arbitrary number that no other advisory lock uses


class JobSums(msgspec.Struct, frozen=True):
    """Counts under one key: jobs, those among them with a duration, and its sum."""

    jobs: int
    timed: int
    duration_ms: int


class EndedCounts(msgspec.Struct, frozen=True):
    """Counts of a period, grouped in several ways."""

    by_status: dict[str, JobSums]
    by_trigger: dict[str, JobSums]
    by_code: dict[str, JobSums]
    by_day: dict[tuple[date, str], JobSums]
    by_worker: dict[tuple[str, str], JobSums]
    durations: dict[int, int]
    """Jobs by bucket of core/histogram.py."""


_COUNTS: Final = """
SELECT status, trigger, code, day, worker_id, sum(jobs)::bigint AS jobs, sum(timed)::bigint AS timed,
       sum(duration_ms)::bigint AS duration_ms, grouping(status, trigger, code, day, worker_id) AS missing
FROM (
    SELECT status, trigger, code, day, worker_id, jobs, timed, duration_ms
    FROM job_counts WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
    UNION ALL
    SELECT status, trigger, code, day, worker_id, jobs, CASE WHEN bucket IS NULL THEN 0 ELSE jobs END,
           duration_ms
    FROM job_count_deltas WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
) AS both_kinds
GROUP BY GROUPING SETS ((status), (trigger), (code), (status, day), (status, worker_id))
"""

_DURATIONS: Final = """
SELECT bucket, sum(jobs)::bigint AS jobs
FROM (
    SELECT bucket, jobs
    FROM job_durations WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
    UNION ALL
    SELECT bucket, jobs
    FROM job_count_deltas WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
      AND bucket IS NOT NULL
) AS both_kinds
GROUP BY bucket
"""

# A bit is set in `grouping` for each column that a row does not have.
_BY_STATUS, _BY_TRIGGER, _BY_CODE, _BY_DAY = 0b01111, 0b10111, 0b11011, 0b01101


async def fetch_counts(
    db: Database, *, tenant_id: str, since: date, worker_id: str | None = None
) -> EndedCounts:
    """Return the counts of jobs that ended on a day (UTC) or later, of the tenant or of one worker."""
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(_COUNTS, tenant_id, since, worker_id)
        buckets = await connection.fetch(_DURATIONS, tenant_id, since, worker_id)
    counts = EndedCounts({}, {}, {}, {}, {}, {row["bucket"]: row["jobs"] for row in buckets})
    for status, trigger, code, day, worker, jobs, timed, duration_ms, missing in rows:
        sums = JobSums(jobs, timed, duration_ms)
        if missing == _BY_STATUS:
            counts.by_status[status] = sums
        elif missing == _BY_TRIGGER:
            counts.by_trigger[trigger] = sums
        elif missing == _BY_CODE:
            counts.by_code[code] = sums
        elif missing == _BY_DAY:
            counts.by_day[day, status] = sums
        else:
            counts.by_worker[worker, status] = sums
    return counts


_FOLD: Final = """
WITH taken AS (
    DELETE FROM job_count_deltas WHERE id IN (SELECT id FROM job_count_deltas ORDER BY id LIMIT $1)
    RETURNING tenant_id, day, worker_id, trigger, status, code, bucket, jobs, duration_ms
), counted AS (
    INSERT INTO job_counts AS c (tenant_id, day, worker_id, trigger, status, code, jobs, timed, duration_ms)
    SELECT tenant_id, day, worker_id, trigger, status, code, sum(jobs),
           coalesce(sum(jobs) FILTER (WHERE bucket IS NOT NULL), 0), sum(duration_ms)
    FROM taken GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (tenant_id, day, worker_id, trigger, status, code) DO UPDATE
    SET jobs = c.jobs + excluded.jobs, timed = c.timed + excluded.timed,
        duration_ms = c.duration_ms + excluded.duration_ms
), timed AS (
    INSERT INTO job_durations AS d (tenant_id, day, worker_id, bucket, jobs)
    SELECT tenant_id, day, worker_id, bucket, sum(jobs)
    FROM taken WHERE bucket IS NOT NULL GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, day, worker_id, bucket) DO UPDATE SET jobs = d.jobs + excluded.jobs
)
SELECT count(*) FROM taken
"""


async def fold_counts(db: Database, *, limit: int) -> int:
    """Fold up to `limit` rows into the sums; return how many (0 while another process does it)."""
    async with db.acquire() as connection, connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _FOLD_LOCK):
            return 0
        return int(await connection.fetchval(_FOLD, limit))


async def prune_counts(db: Database, *, before: date, limit: int) -> int:
    """Delete up to `limit` sums of each kind of the days before one; return how many."""
    deleted = 0
    for table, key in (
        ("job_counts", "(tenant_id, day, worker_id, trigger, status, code)"),
        ("job_durations", "(tenant_id, day, worker_id, bucket)"),
    ):
        columns = key[1:-1]
        rows = await db.fetch(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} WHERE day < $1 LIMIT $2)"
            " RETURNING 1",
            before,
            limit,
        )
        deleted += len(rows)
    return deleted
