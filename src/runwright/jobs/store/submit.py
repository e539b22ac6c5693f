"""Submitting: accepted jobs are written and queued in one statement per batch."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import new_id
from runwright.core.job_state import Trigger
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.store.event_sql import JOB_QUEUED

PRIORITY_HANDICAP: Final = timedelta(minutes=10)
"""How much later in line one step of priority puts a job; also how fast low priority ages."""

IDEMPOTENCY_TTL: Final = timedelta(hours=24)


DEFAULT_PRIORITY: Final = 5


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job to insert, made by `new_submission`. `input` is JSON text of an object, already validated."""

    id: str
    tenant_id: str
    worker_id: str
    trigger: Trigger
    priority: int
    input: bytes
    triggered_by: str
    scheduled_at: datetime | None
    retry_of: str | None
    created_at: datetime
    schedule_id: str | None
    awaited: bool = False
    """Whether a request waits for the result: then its end is announced to the other processes."""

    @property
    def run_at(self) -> datetime:
        """When it may start."""
        return self.created_at if self.scheduled_at is None else max(self.scheduled_at, self.created_at)

    @property
    def rank(self) -> datetime:
        """Its place in the queue: a static virtual start time, so that priority counts and age wins."""
        return self.run_at + self.priority * PRIORITY_HANDICAP


def new_submission(  # noqa: PLR0913  one argument for each thing that a caller decides
    *,
    tenant_id: str,
    worker_id: str,
    input: bytes,
    trigger: Trigger,
    triggered_by: str,
    now: datetime,
    priority: int = DEFAULT_PRIORITY,
    scheduled_at: datetime | None = None,
    retry_of: str | None = None,
    schedule_id: str | None = None,
) -> Submission:
    """Return a job to insert, with a new id."""
    return Submission(
        id=new_id("job", now),
        tenant_id=tenant_id,
        worker_id=worker_id,
        trigger=trigger,
        priority=priority,
        input=input,
        triggered_by=triggered_by,
        scheduled_at=scheduled_at,
        retry_of=retry_of,
        created_at=now,
        schedule_id=schedule_id,
    )


class Accepted(msgspec.Struct, frozen=True):
    """What the worker's settings add to an accepted job; `started`: it is running already."""

    max_retries: int
    worker_version: int
    worker_revision: int = 0
    started: bool = False


class DirectStart(msgspec.Struct, frozen=True):
    """An executor that runs these jobs at once where the worker permits it (see jobs/direct_start.py)."""

    executor_id: str
    runtimes: Sequence[str]
    job_ids: frozenset[str]


class Rejection(StrEnum):
    """Why a job was not accepted; the values complete "The worker is …"."""

    WORKER_MISSING = "gone"
    WORKER_PAUSED = "paused"
    WORKER_DEPRECATED = "deprecated"
    TENANT_SUSPENDED = "suspended"


class PriorJobs(msgspec.Struct, frozen=True):
    """What an idempotency key stood for already."""

    body_digest: bytes
    job_ids: list[str]


# The lock on the worker makes submitting and deprecating one after the other, so that no job
# slips in behind the cancellation of those that wait. A batch that is sent again after a lost
# connection finds its rows there and reports them as accepted.
_INSERT = f"""
WITH item AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::json[], $7::text[],
        $8::timestamptz[], $9::text[], $10::timestamptz[], $11::boolean[],
        $12::timestamptz[], $13::timestamptz[], $14::boolean[], $17::text[]
    ) AS i (id, tenant_id, worker_id, trigger, priority, input, triggered_by,
            scheduled_at, retry_of, created_at, wanted, run_at, rank, start, schedule_id)
), worker AS (
    SELECT w.id, w.tenant_id, w.version, w.revision, w.max_retries,
           CASE WHEN t.status = 'suspended' THEN '{Rejection.TENANT_SUSPENDED}' ELSE w.status END AS status,
           w.max_concurrency IS NULL AND t.running_jobs IS NULL AND w.runtime = ANY ($16::text[]) AND EXISTS (
               SELECT 1 FROM executors e WHERE e.id = $15 AND e.lease_expires_at > clock_timestamp()
           ) AS may_start
    FROM workers w LEFT JOIN tenants t ON t.id = w.tenant_id
    WHERE w.id IN (SELECT worker_id FROM item) FOR SHARE OF w
), inserted AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by,
                      scheduled_at, retry_of, schedule_id, max_retries, worker_version, created_at)
    SELECT i.tenant_id, i.id, i.worker_id, i.trigger, i.priority, i.input, i.triggered_by,
           i.scheduled_at, i.retry_of, i.schedule_id, w.max_retries, w.version, i.created_at
    FROM item i JOIN worker w ON w.id = i.worker_id AND w.tenant_id = i.tenant_id AND w.status = 'active'
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, id, max_retries, worker_version, created_at
), queued AS (
    INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, state, priority, run_at, rank, retries_left,
                           wanted, worker_version, fence, executor_id, started_at)
    SELECT i.tenant_id, i.id, i.worker_id, i.trigger,
           CASE WHEN i.start AND w.may_start THEN 'running' WHEN i.run_at > i.created_at THEN 'waiting'
                ELSE 'ready' END,
           i.priority, i.run_at, i.rank, n.max_retries, i.wanted, n.worker_version,
           CASE WHEN i.start AND w.may_start THEN 1 ELSE 0 END,
           CASE WHEN i.start AND w.may_start THEN $15 END,
           CASE WHEN i.start AND w.may_start THEN i.created_at END
    FROM inserted n JOIN item i ON i.id = n.id JOIN worker w ON w.id = i.worker_id
    RETURNING tenant_id, job_id, started_at, worker_version
), {JOB_QUEUED}
SELECT i.id, w.status AS worker_status,
       coalesce(n.max_retries, j.max_retries) AS max_retries,
       coalesce(n.worker_version, j.worker_version) AS worker_version,
       w.revision AS worker_revision,
       n.id IS NOT NULL AND i.start AND w.may_start AS started
FROM item i
LEFT JOIN worker w ON w.id = i.worker_id AND w.tenant_id = i.tenant_id
LEFT JOIN inserted n ON n.id = i.id
LEFT JOIN LATERAL (
    SELECT max_retries, worker_version FROM jobs
    WHERE tenant_id = i.tenant_id AND id = i.id AND n.id IS NULL OFFSET 0
) j ON true
"""


async def insert_jobs(
    db: Database | PoolConnection, items: Sequence[Submission], here: DirectStart | None = None
) -> list[Accepted | Rejection]:
    """Insert and queue the jobs whose worker is active; answer for each item, in their order.

    Those that `here` names are inserted as running there, where the worker permits it.
    Idempotent: a job that is there already is answered as accepted (and not as started).
    """
    starting = frozenset[str]() if here is None else here.job_ids
    rows = await db.fetch(
        _INSERT,
        [i.id for i in items],
        [i.tenant_id for i in items],
        [i.worker_id for i in items],
        [i.trigger for i in items],
        [i.priority for i in items],
        [i.input for i in items],
        [i.triggered_by for i in items],
        [i.scheduled_at for i in items],
        [i.retry_of for i in items],
        [i.created_at for i in items],
        [i.awaited for i in items],
        [i.run_at for i in items],
        [i.rank for i in items],
        [i.id in starting for i in items],
        None if here is None else here.executor_id,
        [] if here is None else here.runtimes,
        [i.schedule_id for i in items],
    )
    answers = {row["id"]: _answer(row) for row in rows}
    return [answers[i.id] for i in items]


def _answer(row: Record) -> Accepted | Rejection:
    if row["max_retries"] is not None:
        return Accepted(row["max_retries"], row["worker_version"], row["worker_revision"], row["started"])
    return Rejection(row["worker_status"] or Rejection.WORKER_MISSING)


async def claim_idempotency_key(
    db: PoolConnection, *, tenant_id: str, key: str, body_digest: bytes, job_ids: Sequence[str], now: datetime
) -> PriorJobs | None:
    """Take the key for these jobs, or return what it stands for already (younger than a day).

    A competitor in another transaction is waited for, so two requests with one key never both win.
    """
    taken = await db.fetchval(
        """
        INSERT INTO idempotency_keys AS k (tenant_id, key, body_digest, job_ids, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (tenant_id, key) DO UPDATE
            SET body_digest = excluded.body_digest, job_ids = excluded.job_ids,
                created_at = excluded.created_at
            WHERE k.created_at <= $6 OR k.job_ids = excluded.job_ids
        RETURNING true
        """,
        tenant_id,
        key,
        body_digest,
        job_ids,
        now,
        now - IDEMPOTENCY_TTL,
    )
    if taken:
        return None
    row = await db.fetchrow(
        "SELECT body_digest, job_ids FROM idempotency_keys WHERE tenant_id = $1 AND key = $2", tenant_id, key
    )
    return None if row is None else PriorJobs(row["body_digest"], row["job_ids"])


async def forget_idempotency_keys(db: Database, *, now: datetime, limit: int) -> int:
    """Delete up to `limit` keys that stand for nothing any more; returns how many."""
    rows = await db.fetch(
        """
        DELETE FROM idempotency_keys WHERE (tenant_id, key) IN (
            SELECT tenant_id, key FROM idempotency_keys WHERE created_at <= $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        now - IDEMPOTENCY_TTL,
        limit,
    )
    return len(rows)


async def count_queued(db: Database, tenant_id: str, bound: int) -> int:
    """Return how many jobs of a tenant wait, counted up to a bound."""
    count: int = await db.fetchval(
        """
        SELECT count(*) FROM (
            SELECT 1 FROM job_queue WHERE tenant_id = $1 AND state IN ('waiting', 'ready') LIMIT $2
        ) AS bounded
        """,
        tenant_id,
        bound,
    )
    return count
