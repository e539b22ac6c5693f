"""Claiming: which jobs run next, for which tenants.

The ready jobs of one worker form its queue. A claim looks at up to `TENANT_WINDOW` tenants with ready jobs
and at up to `QUEUE_WINDOW` of their queues, the first of each tenant, then the second of each, and so on;
each continues after a cursor. It claims, in one statement:

- only for an executor whose lease is live;
- only jobs in state `ready` whose worker is active and whose runtime, in the version that
  its worker has chosen, this executor has;
- none of a suspended tenant, and for a tenant with a quota of running jobs no more than that at once,
  enforced by the unique index on (tenant_id, tenant_slot) in the same way as the next:
- per worker at most `max_concurrency` running at once, enforced by the unique index on
  (worker_id, slot). Of the executors that claim at the same moment, one at a time claims for such a
  worker or tenant; one whose snapshot was older than the last of them fails and claims again;
- tenants that hold no slot of this executor first, one job of each;
- then tenants in turn: a job's turn is its position among its tenant's candidates plus what that
  tenant has used lately and holds now, so a flood of one waits behind the first job of another;
- within a turn by rank (see `Submission.rank`), that is by priority, then age, with aging;
- at most `capacity.free` jobs of any worker, `capacity.newcomers` more where each is the first of a tenant
  that holds no slot, and beyond those `capacity.fast[worker]` more of each fast worker.

A claimed job is `running` and its fence is one higher: every later write of this attempt must
present (job, fence). Rows that a competitor has locked are skipped and the next ones taken in their place:
a claim has as many candidates to spare as competitors may take at the same moment. One that was claimed
since this statement began is recognized by its fence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record, UniqueViolationError

from runwright.db.pool import Database
from runwright.events.event_sql import append_sql, has_readers_sql
from runwright.jobs.model import ClaimedAttempt
from runwright.runtimes.pool.settings import PoolCapacity

QUEUE_WINDOW: Final = 256
TENANT_WINDOW: Final = 256
_MOST_CLAIMERS: Final = 16
"""How many claims at the same moment there are candidates to spare for."""

_LIMIT_LOCK: Final = 0x72756E77
"""The first key of the advisory locks on limited workers and tenants."""


class QueueCursor(msgspec.Struct, frozen=True):
    """Where a claim continues: after a tenant (None: with the first one), and in some after a worker."""

    tenant: str | None = None
    workers: Mapping[str, str] = {}


class ClaimResult(msgspec.Struct, frozen=True):
    """The attempts of one claim, and where the next claim continues."""

    attempts: list[ClaimedAttempt]
    cursor: QueueCursor
    contended: bool
    """Whether competitors took jobs at the same moment, so that there may be more than were claimed."""
    limited: bool
    """Whether jobs may wait for an end of others of their worker (max_concurrency) or tenant (quota)."""


_STARTED_EVENTS: Final = append_sql(
    f"""SELECT tenant_id, 'job.started', job_id, started_at,
           json_build_object('attempt', attempt, 'worker_version', version)
    FROM claimed WHERE {has_readers_sql("claimed.tenant_id", "job.started")}"""
)

_CLAIM: Final = f"""
WITH RECURSIVE
-- how many executors claim; no row where the lease of this one is over
claimer AS MATERIALIZED (
    SELECT least(count(*), {_MOST_CLAIMERS}) AS number FROM executors
    WHERE lease_expires_at > clock_timestamp() AND (id = $2 OR NOT draining)
    HAVING bool_or(id = $2)
),
-- the tenants that have ready jobs, from the cursor on
tenant_scan AS (
    (SELECT tenant_id, 1 AS nth FROM job_queue
     WHERE state = 'ready' AND tenant_id > $9 AND EXISTS (SELECT FROM claimer)
     ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id, tenant_scan.nth + 1
    FROM tenant_scan CROSS JOIN LATERAL (
        SELECT q.tenant_id FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id > tenant_scan.tenant_id ORDER BY q.tenant_id LIMIT 1
    ) following
    WHERE tenant_scan.nth < {TENANT_WINDOW}
),
-- with what each has used and holds, how many more jobs it may run, and where its queues are continued
tenant AS MATERIALIZED (
    SELECT s.tenant_id, coalesce(u.used, 0) AS used, coalesce(u.holds, false) AS holds,
           coalesce(k.worker_id, '') AS after_worker, coalesce(t.status = 'suspended', false) AS suspended,
           coalesce(t.running_jobs, $15::integer) AS quota, free.slots AS free_slots
    FROM tenant_scan s
    LEFT JOIN tenants t ON t.id = s.tenant_id
    LEFT JOIN unnest($12::text[], $13::float8[], $14::boolean[]) AS u (tenant_id, used, holds)
        ON u.tenant_id = s.tenant_id
    LEFT JOIN unnest($10::text[], $11::text[]) AS k (tenant_id, worker_id) ON k.tenant_id = s.tenant_id
    LEFT JOIN LATERAL (
        SELECT greatest(coalesce(t.running_jobs, $15::integer) - count(*), 0) AS slots FROM job_queue r
        WHERE r.tenant_id = s.tenant_id AND r.tenant_slot IS NOT NULL
    ) free ON coalesce(t.running_jobs, $15::integer) IS NOT NULL
),
-- the queues of those that may run a job: the first of each tenant, then the second of each, and so on
queue_scan AS (
    SELECT t.tenant_id, first.worker_id
    FROM tenant t CROSS JOIN LATERAL (
        SELECT q.worker_id FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = t.tenant_id AND q.worker_id > t.after_worker
        ORDER BY q.worker_id LIMIT 1
    ) first
    WHERE NOT t.suspended AND coalesce(t.free_slots > 0, true)
      AND ($3::integer > 0 OR NOT t.holds OR cardinality($6::text[]) > 0)
    UNION ALL
    SELECT queue_scan.tenant_id, following.worker_id
    FROM queue_scan CROSS JOIN LATERAL (
        SELECT q.worker_id FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = queue_scan.tenant_id AND q.worker_id > queue_scan.worker_id
        ORDER BY q.worker_id LIMIT 1
    ) following
),
-- a window of them
worker_queue AS MATERIALIZED (
    SELECT tenant_id, worker_id FROM queue_scan LIMIT {QUEUE_WINDOW}
),
-- the tenants that have more queues than these, and their last one of these
unfinished AS (
    SELECT last.tenant_id, last.worker_id
    FROM (
        SELECT tenant_id, max(worker_id) AS worker_id FROM worker_queue GROUP BY tenant_id
        HAVING (SELECT count(*) FROM worker_queue) = {QUEUE_WINDOW}
    ) last
    WHERE EXISTS (
        SELECT FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = last.tenant_id AND q.worker_id > last.worker_id
    )
),
-- the queues that may be claimed from, and at most how many jobs of each; limit_key: the
-- limited tenant, else the limited worker
open_queue AS (
    SELECT l.tenant_id, l.worker_id, w.version, w.revision, w.max_concurrency, t.used, t.holds,
           coalesce(f.capacity, 0) AS fast_capacity, t.free_slots AS tenant_slots,
           CASE WHEN t.quota IS NOT NULL THEN t.tenant_id WHEN w.max_concurrency IS NOT NULL THEN w.id END
               AS limit_key,
           least($8::integer,
                 CASE WHEN $3 > 0 OR NOT t.holds THEN greatest($3, 1) ELSE 0 END + coalesce(f.capacity, 0),
                 CASE WHEN w.max_concurrency IS NOT NULL THEN greatest(w.max_concurrency - busy.jobs, 0) END
           ) AS most
    FROM worker_queue l
    JOIN workers w ON w.id = l.worker_id AND w.status = 'active'
         AND coalesce(w.runtime || '@' || w.runtime_version, w.runtime) = ANY ($5)
    JOIN tenant t ON t.tenant_id = l.tenant_id
    LEFT JOIN unnest($6::text[], $7::integer[]) AS f (worker_id, capacity) ON f.worker_id = l.worker_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS jobs FROM job_queue r WHERE r.state = 'running' AND r.worker_id = l.worker_id
    ) busy ON w.max_concurrency IS NOT NULL
),
-- the first jobs of each, and some to spare, with their turn and their position by tenant and by worker
candidate AS (
    SELECT o.*, c.job_id, c.rank, c.fence,
           o.used + row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS turn,
           row_number() OVER (PARTITION BY o.tenant_id ORDER BY c.rank, c.job_id) AS nth_of_tenant,
           row_number() OVER (PARTITION BY o.worker_id ORDER BY c.rank, c.job_id) AS nth_of_worker
    FROM (
        SELECT *, CASE WHEN limit_key IS NULL THEN (most * (number - 1) + queues - 1) / queues ELSE 0 END
                   AS spare
        FROM (SELECT *, count(*) OVER () AS queues FROM open_queue WHERE most > 0) q CROSS JOIN claimer
    ) o
    CROSS JOIN LATERAL (
        SELECT q.job_id, q.rank, q.fence FROM job_queue q
        WHERE q.state = 'ready' AND q.tenant_id = o.tenant_id AND q.worker_id = o.worker_id
        ORDER BY q.rank, q.job_id LIMIT o.most + o.spare
    ) c
),
-- those that would fit into the capacity of all claimers and into the quotas of the tenants
chosen AS MATERIALIZED (
    SELECT p.*
    FROM (
        SELECT *, row_number() OVER (PARTITION BY fast ORDER BY newcomer DESC, turn, rank, job_id) AS place
        FROM (
            SELECT *, nth_of_worker <= fast_capacity * number AS fast,
                   NOT holds AND nth_of_tenant = 1 AS newcomer
            FROM candidate WHERE tenant_slots IS NULL OR nth_of_tenant <= tenant_slots
        ) c
    ) p
    WHERE p.fast OR p.place <= CASE WHEN p.newcomer THEN $3 + $4::integer ELSE $3 * p.number END
    ORDER BY p.newcomer DESC, p.turn, p.rank, p.job_id LIMIT $8 * (SELECT number FROM claimer)
),
-- the limited workers and tenants among them that no competitor claims for at this moment
limit_lock AS MATERIALIZED (
    SELECT k.limit_key, pg_try_advisory_xact_lock({_LIMIT_LOCK}, hashtext(k.limit_key)) AS held
    FROM (SELECT DISTINCT limit_key FROM chosen WHERE limit_key IS NOT NULL) k
),
-- as many as fit of those that no competitor has taken or is taking
locked AS MATERIALIZED (
    SELECT c.* FROM chosen c
    JOIN job_queue q ON q.tenant_id = c.tenant_id AND q.job_id = c.job_id AND q.fence = c.fence
    WHERE c.limit_key IS NULL OR c.limit_key IN (SELECT limit_key FROM limit_lock WHERE held)
    ORDER BY c.newcomer DESC, c.turn, c.rank, c.job_id LIMIT $8
    FOR UPDATE OF q SKIP LOCKED
),
-- with their position among them
placed AS (
    SELECT p.*, row_number() OVER (PARTITION BY fast ORDER BY newcomer DESC, turn, rank, job_id) AS place
    FROM (
        SELECT n.*, nth_of_worker <= fast_capacity AS fast, NOT holds AND nth_of_tenant = 1 AS newcomer
        FROM (
            SELECT tenant_id, worker_id, job_id, version, revision, max_concurrency, tenant_slots, turn, rank,
                   holds, fast_capacity,
                   row_number() OVER (PARTITION BY tenant_id ORDER BY rank, job_id) AS nth_of_tenant,
                   row_number() OVER (PARTITION BY worker_id ORDER BY rank, job_id) AS nth_of_worker
            FROM locked
        ) n
    ) p
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
-- the jobs that were claimed: those that fit into the capacity and have the slots that they need
claimed AS (
    UPDATE job_queue q
    SET state = 'running', fence = q.fence + 1, executor_id = $2, started_at = $1,
        worker_version = CASE WHEN q.pinned THEN q.worker_version ELSE l.version END,
        slot = s.slot, tenant_slot = p.slot
    FROM placed l
    LEFT JOIN worker_slot s ON s.worker_id = l.worker_id AND s.nth_of_worker = l.nth_of_worker
    LEFT JOIN tenant_slot p ON p.tenant_id = l.tenant_id AND p.nth_of_tenant = l.nth_of_tenant
    WHERE q.tenant_id = l.tenant_id AND q.job_id = l.job_id
      AND (l.fast OR l.place <= CASE WHEN l.newcomer THEN $3 + $4 ELSE $3 END)
      AND (l.max_concurrency IS NULL OR s.slot IS NOT NULL)
      AND (l.tenant_slots IS NULL OR p.slot IS NOT NULL)
    RETURNING q.tenant_id, q.job_id, q.worker_id, q.worker_version AS version, q.pinned, l.revision,
              q.attempt, q.retries_left, q.fence, q.wanted, l.turn, l.rank, q.run_at, q.started_at
),
-- the events of their start, where there is a subscription
{_STARTED_EVENTS}
SELECT c.tenant_id, c.job_id, c.worker_id, c.version AS worker_version, c.revision AS worker_revision,
       c.pinned, c.attempt, c.retries_left, c.fence, j.input, c.wanted AS awaited, c.run_at AS due_at,
       (SELECT tenant_id FROM tenant_scan WHERE nth = {TENANT_WINDOW}) AS last_tenant,
       (SELECT array_agg(tenant_id ORDER BY tenant_id) FROM unfinished) AS unfinished_tenants,
       (SELECT array_agg(worker_id ORDER BY tenant_id) FROM unfinished) AS unfinished_workers,
       (SELECT count(*) FROM locked) < (SELECT least($8, count(*)) FROM chosen) AS contended,
       EXISTS (SELECT FROM tenant WHERE free_slots = 0)
           OR EXISTS (SELECT FROM open_queue WHERE limit_key IS NOT NULL) AS limited
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
    cursor: QueueCursor,
    used: Mapping[str, float],
    tenant_running: int | None = None,
) -> ClaimResult:
    """Claim up to `limit` jobs for one executor, by the rules of this module's docstring.

    `used`: how much each tenant has run lately. `tenant_running`: how many jobs at once a tenant
    runs that has no such quota of its own.
    """
    tenants = list(used.keys() | capacity.holding.keys())
    while True:
        try:
            rows = await db.fetch(
                _CLAIM,
                now,
                executor_id,
                max(capacity.free, 0),
                max(capacity.newcomers, 0),
                runtimes,
                list(capacity.fast),
                list(capacity.fast.values()),
                min(limit, capacity.most),
                cursor.tenant or "",
                list(cursor.workers),
                list(cursor.workers.values()),
                tenants,
                [used.get(tenant, 0.0) + capacity.holding.get(tenant, 0) for tenant in tenants],
                [tenant in capacity.holding for tenant in tenants],
                tenant_running,
            )
        except UniqueViolationError:  # a competitor took the same slot; look again
            continue
        return ClaimResult(
            [_claimed(row) for row in rows if row["job_id"] is not None],
            _next_cursor(cursor, rows[0]),
            contended=rows[0]["contended"],
            limited=rows[0]["limited"],
        )


def _next_cursor(cursor: QueueCursor, row: Record) -> QueueCursor:
    """Return where to continue after a claim that began at `cursor` and looked at a window of tenants."""
    after, last = cursor.tenant or "", row["last_tenant"]
    elsewhere = {
        tenant: worker
        for tenant, worker in cursor.workers.items()
        if tenant <= after or (last is not None and tenant > last)
    }
    unfinished = zip(row["unfinished_tenants"] or (), row["unfinished_workers"] or (), strict=True)
    return QueueCursor(last, {**elsewhere, **dict(unfinished)})


def _claimed(row: Record) -> ClaimedAttempt:
    return ClaimedAttempt(
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        worker_id=row["worker_id"],
        worker_version=row["worker_version"],
        worker_revision=row["worker_revision"],
        pinned_version=row["worker_version"] if row["pinned"] else None,
        attempt=row["attempt"],
        retries_left=row["retries_left"],
        fence=row["fence"],
        input=bytes(row["input"]),
        awaited=row["awaited"],
        due_at=row["due_at"],
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
