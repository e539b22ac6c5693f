"""Executors: their leases, and the rescue of jobs whose executor has lost its lease.

An executor holds one lease, renewed in one statement however many jobs it runs. Only leases go
by the database's clock instead of the caller's: it is the one clock that all machines share.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.pool import Database
from runwright.db.rows import duration_ms, struct_from_row
from runwright.jobs.model import AttemptEnd, JobError
from runwright.jobs.store.finish import CANCELLED_ERROR, RECORD_ENDED

LOST_ERROR: Final = msgspec.json.encode(
    JobError(ErrorCode.EXECUTOR_LOST, "The executor that ran this attempt was lost.")
)


class ExecutorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An executor as it registers."""

    id: str
    host: str
    pid: int
    slots: int
    newcomer_slots: int = 0
    isolation: str
    runtimes: list[str]
    vault_keys: list[str] | None = None
    """Ids of the vault keys that it holds; None where it does not report them."""


class ExecutorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An executor as it last reported, and the number of jobs that it runs."""

    id: str
    host: str
    pid: int
    slots: int
    """How many jobs it runs at once, not counting those of newcomers."""
    running: int
    isolation: str
    runtimes: list[str]
    draining: bool
    live: bool
    """Whether its lease has not expired."""
    started_at: datetime
    lease_expires_at: datetime


async def fetch_hand_backs(db: Database, *, executor_id: str, now: datetime) -> list[AttemptEnd]:
    """Return a hand-back for each job that the tables assign to this executor."""
    rows = await db.fetch(
        """
        SELECT tenant_id, job_id, fence, attempt, worker_version FROM job_queue
        WHERE executor_id = $1 AND state = 'running'
        """,
        executor_id,
    )
    return [AttemptEnd(**dict(row), status=JobStatus.QUEUED, ended_at=now) for row in rows]


async def register_executor(db: Database, executor: ExecutorRecord, *, lease_seconds: float) -> None:
    """Register an executor with a new lease."""
    await db.execute(
        """
        INSERT INTO executors (id, host, pid, slots, isolation, runtimes, vault_keys, newcomer_slots,
                               started_at, lease_expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $9, clock_timestamp(),
                clock_timestamp() + make_interval(secs => $8))
        ON CONFLICT (id) DO NOTHING
        """,
        executor.id,
        executor.host,
        executor.pid,
        executor.slots,
        executor.isolation,
        executor.runtimes,
        executor.vault_keys,
        lease_seconds,
        executor.newcomer_slots,
    )


async def renew_lease(db: Database, *, executor_id: str, lease_seconds: float, draining: bool) -> bool:
    """Renew the lease; False where it was lost already and its jobs belong to others."""
    renewed = await db.fetchval(
        """
        UPDATE executors SET lease_expires_at = clock_timestamp() + make_interval(secs => $2), draining = $3
        WHERE id = $1 AND lease_expires_at > clock_timestamp() RETURNING true
        """,
        executor_id,
        lease_seconds,
        draining,
    )
    return bool(renewed)


async def remove_executor(db: Database, *, executor_id: str) -> None:
    """Remove an executor unless it still holds jobs."""
    await db.execute(
        """
        DELETE FROM executors e WHERE id = $1
        AND NOT EXISTS (SELECT 1 FROM job_queue q WHERE q.state = 'running' AND q.executor_id = e.id)
        """,
        executor_id,
    )


async def cancel_requests(db: Database, *, executor_id: str) -> list[tuple[str, int]]:
    """Return (job, fence) of this executor's running jobs whose cancel was requested."""
    rows = await db.fetch(
        """
        SELECT job_id, fence FROM job_queue
        WHERE executor_id = $1 AND cancel_requested_at IS NOT NULL AND state = 'running'
        """,
        executor_id,
    )
    return [(row["job_id"], row["fence"]) for row in rows]


# A running job of an executor without a live lease may have begun, so the attempt counts. The lease
# is compared under the lock on the executor's row, hence an executor that has just renewed is left
# alone, and one whose jobs are being rescued cannot renew.
_RESCUE: Final = f"""
WITH dead AS (
    -- executors whose lease has expired and that no other rescue holds
    SELECT id FROM executors WHERE lease_expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED
),
-- their jobs, and those of executors that are not registered; none if this statement was held up
lost AS (
    SELECT q.tenant_id, q.job_id FROM job_queue q
    WHERE q.state = 'running' AND clock_timestamp() < $5 AND ($6::text[] IS NULL OR q.job_id = ANY ($6))
      AND (q.executor_id IN (SELECT id FROM dead)
           OR NOT EXISTS (SELECT 1 FROM executors e WHERE e.id = q.executor_id))
    LIMIT $2 FOR UPDATE OF q SKIP LOCKED
),
-- with attempts left: ready again, with the same handicap of the priority
requeued AS (
    UPDATE job_queue q
    SET state = 'ready', run_at = $1::timestamptz,
        rank = $1::timestamptz + (q.rank - q.run_at), attempt = q.attempt + 1,
        retries_left = q.retries_left - 1, executor_id = NULL, slot = NULL, tenant_slot = NULL,
        started_at = NULL
    FROM lost, job_queue before
    WHERE q.tenant_id = lost.tenant_id AND q.job_id = lost.job_id
      AND before.tenant_id = q.tenant_id AND before.job_id = q.job_id
      AND q.retries_left > 0 AND q.cancel_requested_at IS NULL
    RETURNING q.job_id, q.attempt - 1 AS attempt, q.fence, before.executor_id, q.worker_version,
              before.started_at
),
-- the attempts that were lost
attempt AS (
    INSERT INTO job_attempts (job_id, attempt, fence, executor_id, worker_version,
                              claimed_at, started_at, ended_at, error)
    SELECT job_id, attempt, fence, executor_id, worker_version, started_at, started_at,
           greatest($1, started_at), $3::json
    FROM requeued
),
-- without attempts left, or to be cancelled: over
ended AS (
    DELETE FROM job_queue q USING lost
    WHERE q.tenant_id = lost.tenant_id AND q.job_id = lost.job_id
      AND (q.retries_left = 0 OR q.cancel_requested_at IS NOT NULL)
    RETURNING q.tenant_id, q.job_id, q.worker_id, q.trigger, q.attempt, q.executor_id, q.worker_version,
              q.started_at AS claimed_at, q.started_at, q.cancel_requested_at, NULL::json AS output,
              CASE WHEN q.cancel_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END AS status,
              greatest($1, q.started_at) AS ended_at,
              {duration_ms("q.started_at", "$1::timestamptz")} AS duration_ms,
              CASE WHEN q.cancel_requested_at IS NULL THEN $3::json ELSE $4::json END AS error
), {RECORD_ENDED}
SELECT job_id, 'queued' AS status FROM requeued UNION ALL SELECT job_id, status FROM ended
"""


class LeaseCheck(msgspec.Struct, frozen=True):
    """Whether any lease has expired, by the database's clock, and its time."""

    at: datetime
    expired: bool


async def check_leases(db: Database) -> LeaseCheck:
    """Return whether there may be something to rescue."""
    row = await db.fetchrow(
        """
        SELECT clock_timestamp() AS at,
               EXISTS (SELECT FROM executors WHERE lease_expires_at <= clock_timestamp()) AS expired
        """
    )
    assert row is not None  # noqa: S101  it has no FROM
    return LeaseCheck(row["at"], row["expired"])


async def lost_jobs(db: Database, *, limit: int) -> list[str]:
    """Return up to `limit` jobs that `rescue_expired` would take, without locking them."""
    rows = await db.fetch(
        """
        SELECT q.job_id FROM job_queue q
        WHERE q.state = 'running' AND NOT EXISTS (
            SELECT FROM executors e WHERE e.id = q.executor_id AND e.lease_expires_at > clock_timestamp()
        ) LIMIT $1
        """,
        limit,
    )
    return [row["job_id"] for row in rows]


async def rescue_expired(
    db: Database,
    *,
    now: datetime,
    before: datetime,
    limit: int = 1000,
    only: Sequence[str] | None = None,
) -> list[tuple[str, JobStatus]]:
    """Return the jobs of dead executors to the queue, or end those without an attempt left.

    Returns each job's id with its status now. Executors without a lease and without jobs are removed.
    Nothing is rescued when it is `before` or later by the database's clock: a statement that was held up
    by a database that hung finds leases expired that no executor could renew. `only`: of these jobs.
    """
    rows = await db.fetch(_RESCUE, now, limit, LOST_ERROR, CANCELLED_ERROR, before, only)
    await db.execute(
        """
        DELETE FROM executors e WHERE lease_expires_at <= clock_timestamp()
        AND NOT EXISTS (SELECT 1 FROM job_queue q WHERE q.state = 'running' AND q.executor_id = e.id)
        """
    )
    return [(row["job_id"], JobStatus(row["status"])) for row in rows]


async def expire_lease(db: Database, *, executor_id: str) -> None:
    """Give up the lease of an executor that stops, so that a rescue need not wait for its end."""
    await db.execute("UPDATE executors SET lease_expires_at = clock_timestamp() WHERE id = $1", executor_id)


async def live_executors(db: Database) -> Sequence[ExecutorRecord]:
    """Return the executors with a live lease that are not draining."""
    rows = await db.fetch(
        """
        SELECT id, host, pid, slots, newcomer_slots, isolation, runtimes, vault_keys FROM executors
        WHERE lease_expires_at > clock_timestamp() AND NOT draining ORDER BY id
        """
    )
    return [ExecutorRecord(**dict(row)) for row in rows]


async def list_executors(db: Database) -> Sequence[ExecutorStatus]:
    """Return all registered executors, also those that drain or whose lease has expired."""
    rows = await db.fetch(
        """
        SELECT e.id, e.host, e.pid, e.slots, e.isolation, e.runtimes, e.draining, e.started_at,
               e.lease_expires_at, e.lease_expires_at > clock_timestamp() AS live,
               coalesce(r.running, 0) AS running
        FROM executors e LEFT JOIN (
            SELECT executor_id, count(*) AS running FROM job_queue WHERE state = 'running' GROUP BY 1
        ) r ON r.executor_id = e.id
        ORDER BY e.id
        """
    )
    return [struct_from_row(ExecutorStatus, row) for row in rows]
