"""Ending attempts: results, retries, hand-backs, log lines.

Every statement compares the fence and the executor, and changes nothing where they no longer
match, so a late result of an older attempt is refused. A row that names this executor is
running: the name is removed whenever the row leaves that state. The statements do not compare the
state itself, so that rows are always found by their key and never through an index of states.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.core.job_state import TERMINAL, ErrorCode, JobStatus
from runwright.db.pool import Database
from runwright.db.rows import Recordset, duration_ms
from runwright.events.event_sql import append_sql, append_watched_sql
from runwright.jobs.model import AttemptEnd, JobError, LogChunk

CANCELLED_ERROR: Final = msgspec.json.encode(JobError(ErrorCode.CANCELLED, "The job was cancelled."))

RECORD_ENDED: Final = f"""
-- the one place that writes results
result AS (
    INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version,
                             claimed_at, started_at, completed_at, duration_ms, output, error,
                             cancel_requested_at)
    SELECT tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version,
           claimed_at, started_at, ended_at, duration_ms, output, error, cancel_requested_at
    FROM ended
),
-- their ends in the event log, exactly one for each job
{append_sql("SELECT tenant_id, 'job.' || status, job_id, ended_at, NULL::json FROM ended")},
-- rows for the analytics rollup (see analytics/rollup.py)
counted AS (
    INSERT INTO job_count_deltas (tenant_id, worker_id, day, trigger, status, code, bucket, jobs, duration_ms)
    SELECT tenant_id, worker_id, (ended_at AT TIME ZONE 'UTC')::date, trigger, status,
           CASE WHEN status = 'failed' THEN coalesce(error ->> 'code', '') ELSE '' END,
           CASE WHEN status <> 'cancelled' THEN duration_bucket(duration_ms) END, count(*),
           coalesce(sum(duration_ms) FILTER (WHERE status <> 'cancelled'), 0)
    FROM ended GROUP BY 1, 2, 3, 4, 5, 6, 7
)"""
"""The parts of a statement that record jobs which it removed from job_queue.

Its part `ended` has their tenant_id, job_id, worker_id, trigger, status, attempt, executor_id,
worker_version, claimed_at, started_at, ended_at, duration_ms, output, error and cancel_requested_at.
"""

_LOG_CHUNKS: Final = Recordset(
    "tenant_id text, job_id text, fence integer, attempt smallint, first_seq bigint, last_seq bigint,"
    "lines json"
)
_ENDS: Final = Recordset(
    "tenant_id text, job_id text, fence integer, attempt integer, status text, started_at timestamptz,"
    "ended_at timestamptz, retry_at timestamptz, output json, error json"
)
_KEYS: Final = Recordset("tenant_id text, job_id text, fence integer")

_CHUNKS: Final = f"""
-- the last log lines of the attempts that ended
chunk AS (
    INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
    SELECT i.job_id, i.first_seq, i.last_seq, i.attempt, i.lines
    FROM {_LOG_CHUNKS.sql(6)} JOIN ended e ON e.job_id = i.job_id
    ON CONFLICT DO NOTHING
)"""


def _finish_sql(rows: str, attempt: str, claimed: str, more: str = "") -> str:
    return f"""
WITH item AS (
    -- the ends to record
    SELECT tenant_id, job_id, fence, CASE status WHEN 'queued' THEN 'cancelled' ELSE status END AS status,
           started_at, ended_at, output, error
    FROM {_ENDS.sql(3)}
),
-- a requested cancel has priority over whatever the handler returned
ended AS (
    DELETE FROM job_queue q USING item i{rows}
    RETURNING q.tenant_id, q.job_id, q.worker_id, q.trigger, {attempt} AS attempt, $1 AS executor_id,
              q.worker_version, q.cancel_requested_at, {claimed} AS claimed_at, i.started_at, i.ended_at,
              {duration_ms("i.started_at", "i.ended_at")} AS duration_ms,
              CASE WHEN q.cancel_requested_at IS NULL THEN i.status ELSE 'cancelled' END AS status,
              CASE WHEN q.cancel_requested_at IS NULL AND i.status = 'completed' THEN i.output END AS output,
              CASE WHEN q.cancel_requested_at IS NULL AND i.status <> 'cancelled' THEN i.error
                   ELSE $2::json END AS error
), {RECORD_ENDED}, {_CHUNKS}{more}
SELECT job_id, status FROM ended
"""


_FINISH: Final = _finish_sql(
    """
    WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
      AND q.executor_id = $1""",
    "q.attempt",
    "q.started_at",
)

# The reaper has requeued the job and no executor has begun it since: its fence is still the attempt's.
_FINISH_REQUEUED: Final = _finish_sql(
    f""", job_attempts a
    WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence AND q.executor_id IS NULL
      AND a.job_id = i.job_id AND a.fence = i.fence AND a.attempt = q.attempt - 1 AND a.executor_id = $1
      AND a.error ->> 'code' = '{ErrorCode.EXECUTOR_LOST}'""",
    "a.attempt",
    "a.claimed_at",
    """,
-- the attempt is not lost after all
found AS (
    DELETE FROM job_attempts a USING ended e WHERE a.job_id = e.job_id AND a.attempt = e.attempt
)""",
)

_FAILED_ATTEMPTS: Final = append_watched_sql(
    """SELECT tenant_id, 'attempt.failed', job_id, ended_at,
           json_build_object('attempt', attempt, 'code', error ->> 'code', 'retry_at', retry_at)
    FROM ended"""
)

_RETRY: Final = f"""
WITH item AS (
    -- the ends to record
    SELECT * FROM {_ENDS.sql(3)}
),
-- back to the queue, with the same handicap of its priority; not where a cancel was requested
ended AS (
    UPDATE job_queue q
    SET state = 'waiting', run_at = i.retry_at, rank = i.retry_at + (q.rank - q.run_at),
        attempt = q.attempt + 1,
        retries_left = q.retries_left - 1, executor_id = NULL, slot = NULL, tenant_slot = NULL,
        started_at = NULL
    FROM item i JOIN job_queue before ON before.tenant_id = i.tenant_id AND before.job_id = i.job_id
    WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
      AND q.executor_id = $1 AND q.cancel_requested_at IS NULL AND q.retries_left > 0
    RETURNING q.tenant_id, q.job_id, q.fence, q.attempt - 1 AS attempt, q.worker_version,
              before.started_at AS claimed_at, i.started_at, i.ended_at, i.retry_at,
              coalesce(i.error, $2::json) AS error
),
-- the attempt that failed
attempt AS (
    INSERT INTO job_attempts (job_id, attempt, fence, executor_id, worker_version,
                              claimed_at, started_at, ended_at, error)
    SELECT job_id, attempt, fence, $1, worker_version, claimed_at, started_at, ended_at, error
    FROM ended
),
-- for streams
{_FAILED_ATTEMPTS}, {_CHUNKS}
SELECT job_id FROM ended
"""

_HAND_BACK: Final = f"""
UPDATE job_queue q
SET state = 'ready', executor_id = NULL, slot = NULL, tenant_slot = NULL, started_at = NULL
FROM {_KEYS.sql(2)}
WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
  AND q.executor_id = $1 AND q.cancel_requested_at IS NULL
RETURNING q.job_id
"""

_WRITTEN_BEFORE: Final = """
-- what an earlier try of the same writes has left; another writer of a job has another time of its end
SELECT i.job_id, coalesce(r.status, 'queued') AS status
FROM unnest($2::text[], $3::text[], $4::integer[], $5::integer[], $6::timestamptz[], $7::text[],
            $8::boolean[])
     AS i (tenant_id, job_id, fence, attempt, ended_at, status, retried)
LEFT JOIN job_results r
  ON r.job_id = i.job_id AND r.executor_id = $1 AND r.attempt = i.attempt AND r.completed_at = i.ended_at
  AND r.status IN (i.status, 'cancelled')
LEFT JOIN job_attempts a
  ON a.job_id = i.job_id AND a.attempt = i.attempt AND a.fence = i.fence AND a.executor_id = $1
  AND a.ended_at = i.ended_at AND i.retried
LEFT JOIN job_queue q
  ON q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence AND q.attempt = i.attempt
  AND q.executor_id IS NULL AND i.status = 'queued'
WHERE r.job_id IS NOT NULL OR a.job_id IS NOT NULL OR q.job_id IS NOT NULL
"""


async def finish_attempts(
    db: Database, *, executor_id: str, ends: Sequence[AttemptEnd]
) -> list[JobStatus | None]:
    """End attempts; return the status of each job now, None where the attempt is no longer ours.

    Retries wait in the queue, hand-backs are ready there, all others get their result, event and
    last log lines. A retry or hand-back whose job was to be cancelled becomes its cancellation.
    The end of an attempt that the reaper took for lost still counts until an executor begins the job again.
    Idempotent: sent again after a commit whose answer was lost, it reads the rows and returns the same.
    """
    after: dict[str, JobStatus] = {}
    if retries := [end for end in ends if end.retry_at is not None]:
        after |= await _retry(db, executor_id, retries)
    if unstarted := [end for end in ends if end.status is JobStatus.QUEUED]:
        after |= await _hand_back(db, executor_id, unstarted)
    if finals := [end for end in ends if end.job_id not in after]:
        after |= await _finish(db, executor_id, finals)
    if missing := [end for end in ends if end.job_id not in after]:
        after |= await _written_before(db, executor_id, missing)
    # A retry or a hand-back is what the reaper has done already.
    finals = [e for e in missing if e.job_id not in after and e.retry_at is None and e.status in TERMINAL]
    if finals:
        after |= await _finish(db, executor_id, finals, _FINISH_REQUEUED)
    return [after.get(end.job_id) for end in ends]


async def _retry(db: Database, executor_id: str, ends: Sequence[AttemptEnd]) -> dict[str, JobStatus]:
    rows = await db.fetch(
        _RETRY,
        executor_id,
        CANCELLED_ERROR,
        *_ENDS.parameters(ends),
        *_chunks_of(ends),
    )
    return {row["job_id"]: JobStatus.QUEUED for row in rows}


async def _hand_back(db: Database, executor_id: str, ends: Sequence[AttemptEnd]) -> dict[str, JobStatus]:
    rows = await db.fetch(_HAND_BACK, executor_id, *_KEYS.parameters(ends))
    return {row["job_id"]: JobStatus.QUEUED for row in rows}


async def _finish(
    db: Database, executor_id: str, ends: Sequence[AttemptEnd], statement: str = _FINISH
) -> dict[str, JobStatus]:
    rows = await db.fetch(
        statement,
        executor_id,
        CANCELLED_ERROR,
        *_ENDS.parameters(ends),
        *_chunks_of(ends),
    )
    return {row["job_id"]: JobStatus(row["status"]) for row in rows}


async def _written_before(db: Database, executor_id: str, ends: Sequence[AttemptEnd]) -> dict[str, JobStatus]:
    rows = await db.fetch(
        _WRITTEN_BEFORE,
        executor_id,
        *_key_columns(ends),
        [e.attempt for e in ends],
        [e.ended_at for e in ends],
        [e.status for e in ends],
        [e.retry_at is not None for e in ends],
    )
    return {row["job_id"]: JobStatus(row["status"]) for row in rows}


def _key_columns(ends: Sequence[AttemptEnd]) -> tuple[list[str], list[str], list[int]]:
    return [e.tenant_id for e in ends], [e.job_id for e in ends], [e.fence for e in ends]


def _chunks_of(ends: Sequence[AttemptEnd]) -> Sequence[object]:
    return _LOG_CHUNKS.parameters([e.log for e in ends if e.log is not None])


async def append_logs(db: Database, *, executor_id: str, chunks: Sequence[LogChunk]) -> None:
    """Store log lines of attempts that this executor still holds; drop those of others."""
    await db.execute(
        f"""
        INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
        SELECT i.job_id, i.first_seq, i.last_seq, i.attempt, i.lines FROM {_LOG_CHUNKS.sql(2)}
        JOIN job_queue q ON q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
             AND q.executor_id = $1
        ON CONFLICT DO NOTHING
        """,
        executor_id,
        *_LOG_CHUNKS.parameters(chunks),
    )
