"""Executors' leases, and the rescue of what a dead one left.

An executor holds one lease, renewed in one statement however many jobs it runs. Leases are
the one place where the database's clock decides and not the caller's: it is the only clock
that all machines share.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.db.pool import Database
from runwright.jobs.store.event_sql import JOB_ENDED
from runwright.jobs.store.rollup import TALLY

LOST_ERROR: Final = b'{"code":"executor_lost","message":"The executor that ran this attempt was lost."}'
CANCELLED_ERROR: Final = b'{"code":"cancelled","message":"The job was cancelled."}'


class ExecutorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An executor as it registers itself."""

    id: str
    host: str
    pid: int
    slots: int
    isolation: str
    runtimes: list[str]
    vault_keys: list[str] | None = None
    """Ids of the vault keys that it holds; None where it does not say."""


async def jobs_held_by(db: Database, *, executor_id: str) -> list[tuple[str, str, int]]:
    """Return (tenant, job, fence) of all jobs that the tables say this executor runs."""
    rows = await db.fetch(
        "SELECT tenant_id, job_id, fence FROM job_queue WHERE executor_id = $1 AND state = 'running'",
        executor_id,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def register_executor(db: Database, executor: ExecutorRecord, *, lease_seconds: float) -> None:
    """Enter an executor with a fresh lease."""
    await db.execute(
        """
        INSERT INTO executors (id, host, pid, slots, isolation, runtimes, vault_keys, started_at,
                               lease_expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp() + make_interval(secs => $8))
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
    )


async def renew_lease(db: Database, *, executor_id: str, lease_seconds: float, draining: bool) -> bool:
    """Renew the lease; False where it was already lost: what ran under it belongs to others now."""
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
    """Remove an executor that holds no job any more."""
    await db.execute(
        """
        DELETE FROM executors e WHERE id = $1
        AND NOT EXISTS (SELECT 1 FROM job_queue q WHERE q.state = 'running' AND q.executor_id = e.id)
        """,
        executor_id,
    )


async def cancel_requests(db: Database, *, executor_id: str) -> list[tuple[str, int]]:
    """Return (job, fence) of this executor's running jobs that somebody wants cancelled."""
    rows = await db.fetch(
        """
        SELECT job_id, fence FROM job_queue
        WHERE executor_id = $1 AND cancel_requested_at IS NOT NULL AND state = 'running'
        """,
        executor_id,
    )
    return [(row[0], row[1]) for row in rows]


# A running job of an executor without a living lease had begun, as far as anyone can know, so
# the attempt counts. The lease is checked again under the lock on the executor's row, hence
# an executor that just renewed is left alone and one that is being rescued cannot renew.
_RESCUE = f"""
WITH dead AS (
    SELECT id FROM executors WHERE lease_expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT q.tenant_id, q.job_id FROM job_queue q
    WHERE q.state = 'running'
      AND (q.executor_id IN (SELECT id FROM dead)
           OR NOT EXISTS (SELECT 1 FROM executors e WHERE e.id = q.executor_id))
    LIMIT $2 FOR UPDATE OF q SKIP LOCKED
), requeued AS (
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
), attempt AS (
    INSERT INTO job_attempts (job_id, attempt, fence, executor_id, worker_version,
                              started_at, ended_at, error)
    SELECT job_id, attempt, fence, executor_id, worker_version, started_at, greatest($1, started_at), $3::json
    FROM requeued
), ended AS (
    DELETE FROM job_queue q USING lost
    WHERE q.tenant_id = lost.tenant_id AND q.job_id = lost.job_id
      AND (q.retries_left = 0 OR q.cancel_requested_at IS NOT NULL)
    RETURNING q.*, CASE WHEN q.cancel_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END AS status,
              greatest($1, q.started_at) AS ended_at,
              round(extract(epoch FROM greatest($1, q.started_at) - q.started_at) * 1000)::integer
                  AS duration_ms,
              CASE WHEN q.cancel_requested_at IS NULL THEN $3::json ELSE $4::json END AS error
), result AS (
    INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version,
                             started_at, completed_at, duration_ms, error, cancel_requested_at)
    SELECT tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version, started_at,
           ended_at, duration_ms, error, cancel_requested_at
    FROM ended
), {JOB_ENDED}, {TALLY}
SELECT job_id, 'queued' FROM requeued UNION ALL SELECT job_id, status FROM ended
"""


async def rescue_expired(db: Database, *, now: datetime, limit: int = 1000) -> list[tuple[str, str]]:
    """Return the jobs of dead executors to the queue, or end those with no attempt left.

    Returns (job, its state now). Executors without a lease and without jobs are removed.
    """
    rows = await db.fetch(_RESCUE, now, limit, LOST_ERROR, CANCELLED_ERROR)
    await db.execute(
        """
        DELETE FROM executors e WHERE lease_expires_at <= clock_timestamp()
        AND NOT EXISTS (SELECT 1 FROM job_queue q WHERE q.state = 'running' AND q.executor_id = e.id)
        """
    )
    return [(row[0], row[1]) for row in rows]


async def expire_lease(db: Database, *, executor_id: str) -> None:
    """Give up a lease on purpose (its holder stops), so that a rescue need not wait for its end."""
    await db.execute("UPDATE executors SET lease_expires_at = clock_timestamp() WHERE id = $1", executor_id)


async def live_executors(db: Database) -> Sequence[ExecutorRecord]:
    """Return the executors whose lease lives."""
    rows = await db.fetch(
        """
        SELECT id, host, pid, slots, isolation, runtimes, vault_keys FROM executors
        WHERE lease_expires_at > clock_timestamp() AND NOT draining ORDER BY id
        """
    )
    return [ExecutorRecord(**dict(row)) for row in rows]
