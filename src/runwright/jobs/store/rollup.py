"""Counts of ended jobs: appended by every statement that ends some, folded, read.

Rows of job_tallies are only ever inserted and deleted, so those who end jobs never wait for
each other; whoever folds them holds an advisory lock for its one statement. A reader adds what
is folded and what is not, in one snapshot.
"""

from datetime import date
from typing import Final

import msgspec

from runwright.db.pool import Database

TALLY: Final = """tally AS (
    INSERT INTO job_tallies (tenant_id, worker_id, day, trigger, status, code, bucket, jobs, duration_ms)
    SELECT tenant_id, worker_id, (ended_at AT TIME ZONE 'UTC')::date, trigger, status,
           CASE WHEN status = 'failed' THEN coalesce(error ->> 'code', '') ELSE '' END,
           CASE WHEN status <> 'cancelled' THEN duration_bucket(duration_ms) END, count(*),
           coalesce(sum(duration_ms) FILTER (WHERE status <> 'cancelled'), 0)
    FROM ended GROUP BY 1, 2, 3, 4, 5, 6, 7
)"""
"""Part of a statement; its `ended` has the columns of job_queue, and status, ended_at, duration_ms, error."""

_FOLD_LOCK: Final = 0x72776674  # any number that nobody else locks


class Sums(msgspec.Struct, frozen=True):
    """Counts under one key: jobs, those among them with a duration, and its sum."""

    jobs: int
    timed: int
    duration_ms: int


class Counts(msgspec.Struct, frozen=True):
    """Counts of a period, each cut in its own way."""

    by_status: dict[str, Sums]
    by_trigger: dict[str, Sums]
    by_code: dict[str, Sums]
    by_day: dict[tuple[date, str], Sums]
    by_worker: dict[tuple[str, str], Sums]
    durations: dict[int, int]
    """Jobs by bucket of core/histogram.py."""


_COUNTS = """
SELECT status, trigger, code, day, worker_id, sum(jobs)::bigint, sum(timed)::bigint, sum(duration_ms)::bigint,
       grouping(status, trigger, code, day, worker_id)
FROM (
    SELECT status, trigger, code, day, worker_id, jobs, timed, duration_ms
    FROM job_counts WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
    UNION ALL
    SELECT status, trigger, code, day, worker_id, jobs, CASE WHEN bucket IS NULL THEN 0 ELSE jobs END,
           duration_ms
    FROM job_tallies WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
) AS every
GROUP BY GROUPING SETS ((status), (trigger), (code), (status, day), (status, worker_id))
"""

_DURATIONS = """
SELECT bucket, sum(jobs)::bigint
FROM (
    SELECT bucket, jobs
    FROM job_durations WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
    UNION ALL
    SELECT bucket, jobs
    FROM job_tallies WHERE tenant_id = $1 AND day >= $2 AND ($3::text IS NULL OR worker_id = $3)
      AND bucket IS NOT NULL
) AS every
GROUP BY bucket
"""

# A bit is set in `grouping` for each column that a row does not have.
_BY_STATUS, _BY_TRIGGER, _BY_CODE, _BY_DAY = 0b01111, 0b10111, 0b11011, 0b01101


async def fetch_counts(db: Database, *, tenant_id: str, since: date, worker_id: str | None = None) -> Counts:
    """Return what ended from a day (UTC) on, of the tenant or of one worker of it."""
    async with db.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(_COUNTS, tenant_id, since, worker_id)
        buckets = await connection.fetch(_DURATIONS, tenant_id, since, worker_id)
    counts = Counts({}, {}, {}, {}, {}, {row[0]: row[1] for row in buckets})
    for status, trigger, code, day, worker, jobs, timed, duration_ms, cut in rows:
        sums = Sums(jobs, timed, duration_ms)
        if cut == _BY_STATUS:
            counts.by_status[status] = sums
        elif cut == _BY_TRIGGER:
            counts.by_trigger[trigger] = sums
        elif cut == _BY_CODE:
            counts.by_code[code] = sums
        elif cut == _BY_DAY:
            counts.by_day[day, status] = sums
        else:
            counts.by_worker[worker, status] = sums
    return counts


_FOLD = """
WITH taken AS (
    DELETE FROM job_tallies WHERE id IN (SELECT id FROM job_tallies ORDER BY id LIMIT $1)
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


async def fold_tallies(db: Database, *, limit: int) -> int:
    """Fold up to `limit` rows into the sums; returns how many (0 while somebody else does it)."""
    async with db.acquire() as connection, connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _FOLD_LOCK):
            return 0
        return int(await connection.fetchval(_FOLD, limit))


async def forget_counts(db: Database, *, before: date, limit: int) -> int:
    """Delete up to `limit` sums of each kind that are older than a day; returns how many."""
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
