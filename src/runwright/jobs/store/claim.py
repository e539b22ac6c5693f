"""Claiming: which jobs run next, for which tenants.

The ready jobs of one worker form its queue. A claim reads up to `QUEUE_WINDOW` of these queues,
beginning after a cursor, and claims, in one statement:

- only for an executor whose lease is live;
- only jobs in state `ready` whose worker is active and whose runtime this executor has;
- none of a suspended tenant, and for a tenant with a quota of running jobs no more than that at once,
  enforced by the unique index on (tenant_id, tenant_slot) in the same way as the next:
- per worker at most `max_concurrency` running at once, enforced by the unique index on
  (worker_id, slot): a competitor that saw the same free slot fails and claims again;
- tenants in turn: a job's turn is its position among its tenant's candidates plus what that
  tenant has used lately, so a flood of one waits behind the first job of another;
- within a turn by rank (see `Submission.rank`), that is by priority, then age, with aging;
- at most `capacity.free` jobs of any worker, and beyond those `capacity.fast[worker]` more of each
  fast worker.

A claimed job is `running` and its fence is one higher: every later write of this attempt must
present (job, fence). Rows that a competitor has locked are skipped; one that was claimed since this
statement began is recognized by its fence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record, UniqueViolationError

from runwright.db.pool import Database
from runwright.events.event_sql import append_sql, has_subscribers_sql
from runwright.jobs.attempt import ClaimedAttempt
from runwright.runtimes.pool.settings import PoolCapacity

QUEUE_WINDOW: Final = 256


class ClaimResult(msgspec.Struct, frozen=True):
    """The attempts of one claim, and where the next claim continues (None: at the first queue)."""

    attempts: list[ClaimedAttempt]
    cursor: tuple[str, str] | None


_STARTED_EVENTS: Final = append_sql(
    f"""SELECT tenant_id, 'job.started', job_id, started_at,
           json_build_object('attempt', attempt, 'worker_version', version)
    FROM claimed WHERE {has_subscribers_sql("claimed.tenant_id", "job.started")}"""
)

_CLAIM: Final = f"""
WITH RECURSIVE
-- the workers that have ready jobs, from the cursor on; none where the executor's lease is over
worker_queue AS (
    (SELECT tenant_id, worker_id, 1 AS nth FROM job_queue
     WHERE state = 'ready' AND (tenant_id, worker_id) > ($8, $9)
       AND EXISTS (SELECT 1 FROM executors WHERE id = $2 AND lease_expires_at > clock_timestamp())
     ORDER BY tenant_id, worker_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id, following.worker_id, worker_queue.nth + 1
    FROM worker_queue CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.worker_id FROM job_queue q
        WHERE q.state = 'ready'
          AND (q.tenant_id, q.worker_id) > (worker_queue.tenant_id, worker_queue.worker_id)
        ORDER BY q.tenant_id, q.worker_id LIMIT 1
    ) following
    WHERE worker_queue.nth < {QUEUE_WINDOW}
),
-- where the next claim continues, if the window was full
last_queue AS (
    SELECT tenant_id, worker_id FROM worker_queue WHERE nth = {QUEUE_WINDOW}
),
-- their tenants, and how many more jobs each may run
tenant AS (
    SELECT l.tenant_id, coalesce(t.status = 'suspended', false) AS suspended,
           coalesce(t.running_jobs, $12::integer) AS quota, free.slots AS free_slots
    FROM (SELECT DISTINCT tenant_id FROM worker_queue) l LEFT JOIN tenants t ON t.id = l.tenant_id
    LEFT JOIN LATERAL (
        SELECT greatest(coalesce(t.running_jobs, $12::integer) - count(*), 0) AS slots FROM job_queue r
        WHERE r.tenant_id = l.tenant_id AND r.tenant_slot IS NOT NULL
    ) free ON coalesce(t.running_jobs, $12::integer) IS NOT NULL
),
-- the queues that may be claimed from, and at most how many jobs of each
open_queue AS (
    SELECT l.tenant_id, l.worker_id, w.version, w.revision, w.max_concurrency,
           coalesce(f.capacity, 0) AS fast_capacity, t.free_slots AS tenant_slots,
           least($7, $3 + coalesce(f.capacity, 0),
                 CASE WHEN w.max_concurrency IS NOT NULL THEN greatest(w.max_concurrency - busy.jobs, 0) END
           ) AS most
    FROM worker_queue l
    JOIN workers w ON w.id = l.worker_id AND w.status = 'active' AND w.runtime = ANY ($4)
    JOIN tenant t ON t.tenant_id = l.tenant_id AND NOT t.suspended
    LEFT JOIN unnest($5::text[], $6::integer[]) AS f (worker_id, capacity) ON f.worker_id = l.worker_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS jobs FROM job_queue r WHERE r.state = 'running' AND r.worker_id = l.worker_id
    ) busy ON w.max_concurrency IS NOT NULL
),
-- the first jobs of each, with their turn and their position by tenant and by worker
candidate AS (
    SELECT o.*, c.job_id, c.rank, c.fence,
           coalesce(u.used, 0)
             + row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS turn,
           row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS nth_of_tenant,
           row_number() OVER (PARTITION BY o.worker_id ORDER BY c.rank, c.job_id) AS nth_of_worker
    FROM open_queue o
    CROSS JOIN LATERAL (
        SELECT q.job_id, q.rank, q.fence FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = o.tenant_id AND q.worker_id = o.worker_id
        ORDER BY q.rank, q.job_id LIMIT o.most
    ) c
    LEFT JOIN unnest($10::text[], $11::float8[]) AS u (tenant_id, used) ON u.tenant_id = o.tenant_id
),
-- those that fit into the capacity of the executor and the quotas of the tenants
chosen AS (
    SELECT p.*
    FROM (
        SELECT *, nth_of_worker <= fast_capacity AS fast,
               row_number() OVER (
                   PARTITION BY nth_of_worker <= fast_capacity ORDER BY turn, rank, job_id
               ) AS place
        FROM candidate WHERE tenant_slots IS NULL OR nth_of_tenant <= tenant_slots
    ) p
    WHERE p.fast OR p.place <= $3
    ORDER BY p.turn, p.rank, p.job_id LIMIT $7
),
-- those of them that no competitor has taken or is taking
locked AS (
    SELECT c.* FROM chosen c
    JOIN job_queue q ON q.tenant_id = c.tenant_id AND q.job_id = c.job_id AND q.fence = c.fence
    FOR UPDATE OF q SKIP LOCKED
),
-- the free slots of workers with max_concurrency
worker_slot AS (
    SELECT o.worker_id, s.slot, row_number() OVER (PARTITION BY o.worker_id ORDER BY s.slot) AS nth_of_worker
    FROM open_queue o CROSS JOIN LATERAL generate_series(1, o.max_concurrency) AS s (slot)
    WHERE o.max_concurrency IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM job_queue r WHERE r.worker_id = o.worker_id AND r.slot = s.slot
    )
),
-- the free slots of tenants with a quota of running jobs
tenant_slot AS (
    SELECT t.tenant_id, p.slot,
           row_number() OVER (PARTITION BY t.tenant_id ORDER BY p.slot) AS nth_of_tenant
    FROM tenant t CROSS JOIN LATERAL generate_series(1, t.quota) AS p (slot)
    WHERE t.free_slots > 0 AND NOT EXISTS (
        SELECT 1 FROM job_queue r WHERE r.tenant_id = t.tenant_id AND r.tenant_slot = p.slot
    )
),
claimed AS (
    UPDATE job_queue q
    SET state = 'running', fence = q.fence + 1, executor_id = $2, started_at = $1,
        worker_version = l.version, slot = s.slot, tenant_slot = p.slot
    FROM locked l
    LEFT JOIN worker_slot s ON s.worker_id = l.worker_id AND s.nth_of_worker = l.nth_of_worker
    LEFT JOIN tenant_slot p ON p.tenant_id = l.tenant_id AND p.nth_of_tenant = l.nth_of_tenant
    WHERE q.tenant_id = l.tenant_id AND q.job_id = l.job_id
      AND (l.max_concurrency IS NULL OR s.slot IS NOT NULL)
      AND (l.tenant_slots IS NULL OR p.slot IS NOT NULL)
    RETURNING q.tenant_id, q.job_id, q.worker_id, l.version, l.revision, q.attempt, q.retries_left, q.fence,
              q.wanted, l.turn, l.rank, q.started_at
),
-- event, heard: that attempts started, where there is a subscription
{_STARTED_EVENTS}
SELECT c.tenant_id, c.job_id, c.worker_id, c.version AS worker_version, c.revision AS worker_revision,
       c.attempt, c.retries_left, c.fence, j.input, c.wanted AS awaited,
       (SELECT tenant_id FROM last_queue) AS last_tenant, (SELECT worker_id FROM last_queue) AS last_worker
FROM (SELECT true) AS always
LEFT JOIN claimed c ON true
LEFT JOIN LATERAL (
    SELECT input FROM jobs WHERE tenant_id = c.tenant_id AND id = c.job_id OFFSET 0
) j ON true
ORDER BY c.turn, c.rank, c.job_id
"""


async def claim_jobs(  # noqa: PLR0913  one argument for each rule of the module's docstring
    db: Database,
    *,
    now: datetime,
    executor_id: str,
    capacity: PoolCapacity,
    runtimes: Sequence[str],
    limit: int,
    cursor: tuple[str, str] | None,
    used: Mapping[str, float],
    tenant_running: int | None = None,
) -> ClaimResult:
    """Claim up to `limit` jobs for one executor, by the rules of this module's docstring.

    `used`: how much each tenant has run lately. `tenant_running`: how many jobs at once a tenant
    runs that has no such quota of its own.
    """
    while True:
        try:
            rows = await db.fetch(
                _CLAIM,
                now,
                executor_id,
                max(capacity.free, 0),
                runtimes,
                list(capacity.fast),
                list(capacity.fast.values()),
                limit,
                *(cursor or ("", "")),
                list(used),
                list(used.values()),
                tenant_running,
            )
        except UniqueViolationError:  # a competitor took the same slot; look again
            continue
        tenant, worker = rows[0]["last_tenant"], rows[0]["last_worker"]
        return ClaimResult(
            [_claimed(row) for row in rows if row["job_id"] is not None],
            None if tenant is None else (tenant, worker),
        )


def _claimed(row: Record) -> ClaimedAttempt:
    return ClaimedAttempt(
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        worker_id=row["worker_id"],
        worker_version=row["worker_version"],
        worker_revision=row["worker_revision"],
        attempt=row["attempt"],
        retries_left=row["retries_left"],
        fence=row["fence"],
        input=bytes(row["input"]),
        awaited=row["awaited"],
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
        SELECT (SELECT count(*) FROM moved) AS moved,
               (SELECT min(run_at) FROM job_queue WHERE state = 'waiting' AND run_at > $1) AS next_due_at
        """,
        now,
        limit,
    )
    assert row is not None  # noqa: S101  an aggregate always returns a row
    return row["moved"], row["next_due_at"]
