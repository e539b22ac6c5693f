"""Claiming: which jobs run next, and on whose behalf.

A *lane* is the ready jobs of one worker. A claim looks at up to `LANE_WINDOW` lanes after a
cursor and hands out, in one statement:

- only to an executor whose lease lives;
- only jobs in state `ready` whose worker is active and whose runtime this executor has;
- none of a suspended tenant, and of one with a quota of running jobs no more than that at once,
  enforced by the unique index on (tenant_id, tenant_slot) in the same way as the next:
- per worker at most `max_concurrency` running at once, enforced by the unique index on
  (worker_id, slot): a competitor that saw the same free slot fails and asks again;
- tenants in turns: a job's turn is its place among its tenant's candidates plus what that
  tenant used lately, so a flood of one waits behind the first job of another;
- within a turn by rank (see `Submission.rank`), that is by priority, then age, with aging;
- at most `room` jobs of any worker, and on top of them `fast[worker]` more of each fast one.

A claimed job is `running`, its fence one higher: (job, fence) is the token that every later
write of this attempt must show. Rows that a competitor has locked are skipped;
one that was claimed since this statement began shows it by its fence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record, UniqueViolationError

from runwright.db.pool import Database
from runwright.jobs.store.event_sql import JOB_STARTED

LANE_WINDOW: Final = 256


class ClaimedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor needs to run an attempt, apart from the worker's code."""

    tenant_id: str
    job_id: str
    worker_id: str
    worker_version: int
    worker_revision: int
    attempt: int
    retries_left: int
    fence: int
    input: bytes


class Claim(msgspec.Struct, frozen=True):
    """What a claim gave, and where the next one goes on (None: from the first lane)."""

    jobs: list[ClaimedJob]
    cursor: tuple[str, str] | None


_CLAIM = f"""
WITH RECURSIVE lane AS (
    (SELECT tenant_id, worker_id, 1 AS nth FROM job_queue
     WHERE state = 'ready' AND (tenant_id, worker_id) > ($8, $9)
       AND EXISTS (SELECT 1 FROM executors WHERE id = $2 AND lease_expires_at > clock_timestamp())
     ORDER BY tenant_id, worker_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id, following.worker_id, lane.nth + 1
    FROM lane CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.worker_id FROM job_queue q
        WHERE q.state = 'ready' AND (q.tenant_id, q.worker_id) > (lane.tenant_id, lane.worker_id)
        ORDER BY q.tenant_id, q.worker_id LIMIT 1
    ) following
    WHERE lane.nth < {LANE_WINDOW}
), last_lane AS (
    SELECT tenant_id, worker_id FROM lane WHERE nth = {LANE_WINDOW}
), tenant AS (
    SELECT l.tenant_id, coalesce(t.status = 'suspended', false) AS suspended,
           coalesce(t.running_jobs, $12::integer) AS most, free.places AS room
    FROM (SELECT DISTINCT tenant_id FROM lane) l LEFT JOIN tenants t ON t.id = l.tenant_id
    LEFT JOIN LATERAL (
        SELECT greatest(coalesce(t.running_jobs, $12::integer) - count(*), 0) AS places FROM job_queue r
        WHERE r.tenant_id = l.tenant_id AND r.tenant_slot IS NOT NULL
    ) free ON coalesce(t.running_jobs, $12::integer) IS NOT NULL
), open_lane AS (
    SELECT l.tenant_id, l.worker_id, w.version, w.revision, w.max_concurrency,
           coalesce(f.room, 0) AS fast_room, t.room AS tenant_room,
           least($7, $3 + coalesce(f.room, 0),
                 CASE WHEN w.max_concurrency IS NOT NULL THEN greatest(w.max_concurrency - busy.jobs, 0) END
           ) AS room
    FROM lane l
    JOIN workers w ON w.id = l.worker_id AND w.status = 'active' AND w.runtime = ANY ($4)
    JOIN tenant t ON t.tenant_id = l.tenant_id AND NOT t.suspended
    LEFT JOIN unnest($5::text[], $6::integer[]) AS f (worker_id, room) ON f.worker_id = l.worker_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS jobs FROM job_queue r WHERE r.state = 'running' AND r.worker_id = l.worker_id
    ) busy ON w.max_concurrency IS NOT NULL
), candidate AS (
    SELECT o.*, c.job_id, c.rank, c.fence,
           coalesce(u.used, 0)
             + row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS turn,
           row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS nth_of_tenant,
           row_number() OVER (PARTITION BY o.worker_id ORDER BY c.rank, c.job_id) AS nth_of_worker
    FROM open_lane o
    CROSS JOIN LATERAL (
        SELECT q.job_id, q.rank, q.fence FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = o.tenant_id AND q.worker_id = o.worker_id
        ORDER BY q.rank, q.job_id LIMIT o.room
    ) c
    LEFT JOIN unnest($10::text[], $11::float8[]) AS u (tenant_id, used) ON u.tenant_id = o.tenant_id
), chosen AS (
    SELECT p.*
    FROM (
        SELECT *, nth_of_worker <= fast_room AS fast,
               row_number() OVER (
                   PARTITION BY nth_of_worker <= fast_room ORDER BY turn, rank, job_id
               ) AS place
        FROM candidate WHERE tenant_room IS NULL OR nth_of_tenant <= tenant_room
    ) p
    WHERE p.fast OR p.place <= $3
    ORDER BY p.turn, p.rank, p.job_id LIMIT $7
), locked AS (
    SELECT c.* FROM chosen c
    JOIN job_queue q ON q.tenant_id = c.tenant_id AND q.job_id = c.job_id AND q.fence = c.fence
    FOR UPDATE OF q SKIP LOCKED
), free_slot AS (
    SELECT o.worker_id, s.slot, row_number() OVER (PARTITION BY o.worker_id ORDER BY s.slot) AS nth_of_worker
    FROM open_lane o CROSS JOIN LATERAL generate_series(1, o.max_concurrency) AS s (slot)
    WHERE o.max_concurrency IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM job_queue r WHERE r.worker_id = o.worker_id AND r.slot = s.slot
    )
), free_place AS (
    SELECT t.tenant_id, p.place,
           row_number() OVER (PARTITION BY t.tenant_id ORDER BY p.place) AS nth_of_tenant
    FROM tenant t CROSS JOIN LATERAL generate_series(1, t.most) AS p (place)
    WHERE t.room > 0 AND NOT EXISTS (
        SELECT 1 FROM job_queue r WHERE r.tenant_id = t.tenant_id AND r.tenant_slot = p.place
    )
), claimed AS (
    UPDATE job_queue q
    SET state = 'running', fence = q.fence + 1, executor_id = $2, started_at = $1,
        worker_version = l.version, slot = s.slot, tenant_slot = p.place
    FROM locked l
    LEFT JOIN free_slot s ON s.worker_id = l.worker_id AND s.nth_of_worker = l.nth_of_worker
    LEFT JOIN free_place p ON p.tenant_id = l.tenant_id AND p.nth_of_tenant = l.nth_of_tenant
    WHERE q.tenant_id = l.tenant_id AND q.job_id = l.job_id
      AND (l.max_concurrency IS NULL OR s.slot IS NOT NULL)
      AND (l.tenant_room IS NULL OR p.place IS NOT NULL)
    RETURNING q.tenant_id, q.job_id, q.worker_id, l.version, l.revision, q.attempt, q.retries_left, q.fence,
              l.turn, l.rank, q.started_at
), {JOB_STARTED}
SELECT c.tenant_id, c.job_id, c.worker_id, c.version, c.revision, c.attempt, c.retries_left, c.fence, j.input,
       (SELECT tenant_id FROM last_lane), (SELECT worker_id FROM last_lane)
FROM (SELECT true) AS always
LEFT JOIN claimed c ON true
LEFT JOIN LATERAL (
    SELECT input FROM jobs WHERE tenant_id = c.tenant_id AND id = c.job_id OFFSET 0
) j ON true
ORDER BY c.turn, c.rank, c.job_id
"""


async def claim_jobs(  # noqa: PLR0913  the law of a claim has this many terms
    db: Database,
    *,
    now: datetime,
    executor_id: str,
    room: int,
    fast: Mapping[str, int],
    runtimes: Sequence[str],
    limit: int,
    cursor: tuple[str, str] | None,
    used: Mapping[str, float],
    tenant_running: int | None = None,
) -> Claim:
    """Claim up to `limit` jobs for one executor (the law is this module's docstring).

    `used` says how much each tenant ran lately, `tenant_running` how many jobs one runs at once that
    has no such quota of its own. Raises nothing for lack of work.
    """
    while True:
        try:
            rows = await db.fetch(
                _CLAIM,
                now,
                executor_id,
                room,
                runtimes,
                list(fast),
                list(fast.values()),
                limit,
                *(cursor or ("", "")),
                list(used),
                list(used.values()),
                tenant_running,
            )
        except UniqueViolationError:  # a competitor took the same slot; look again
            continue
        last_tenant, last_worker = rows[0][9], rows[0][10]
        return Claim(
            [_claimed(row) for row in rows if row[1] is not None],
            None if last_tenant is None else (last_tenant, last_worker),
        )


def _claimed(row: Record) -> ClaimedJob:
    tenant_id, job_id, worker_id, version, revision, attempt, retries_left, fence, payload, *_ = row
    return ClaimedJob(
        tenant_id=tenant_id,
        job_id=job_id,
        worker_id=worker_id,
        worker_version=version,
        worker_revision=revision,
        attempt=attempt,
        retries_left=retries_left,
        fence=fence,
        input=bytes(payload),
    )


async def promote_due(db: Database, *, now: datetime, limit: int = 1000) -> tuple[int, datetime | None]:
    """Make waiting jobs ready whose time has come; return how many, and when the next is due."""
    row = await db.fetchrow(
        """
        WITH due AS (
            SELECT tenant_id, job_id FROM job_queue
            WHERE state = 'waiting' AND run_at <= $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE job_queue q SET state = 'ready' FROM due
            WHERE q.tenant_id = due.tenant_id AND q.job_id = due.job_id RETURNING 1
        )
        SELECT (SELECT count(*) FROM moved),
               (SELECT min(run_at) FROM job_queue WHERE state = 'waiting' AND run_at > $1)
        """,
        now,
        limit,
    )
    assert row is not None  # noqa: S101  an aggregate always answers
    return row[0], row[1]
