"""Ending attempts: results, retries, hand-backs.

Every statement shows the fence and the executor, and changes nothing where they no longer
match, so a late result of an older attempt is refused. A row that names this executor is
running: the name goes whenever it leaves that state. The statements do not ask for the state
itself, so that rows are always found by their key and never through an index of states.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from runwright.db.pool import Database
from runwright.jobs.store.event_sql import JOB_ENDED
from runwright.jobs.store.rescue import CANCELLED_ERROR
from runwright.jobs.store.rollup import TALLY


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive log lines of one attempt; `lines` is a JSON array of [ts, level, msg]."""

    tenant_id: str
    job_id: str
    fence: int
    attempt: int
    first_seq: int
    last_seq: int
    lines: bytes


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a claimed attempt ended; `error` is JSON text. `retry_at` asks for another attempt then."""

    tenant_id: str
    job_id: str
    fence: int
    status: str
    started_at: datetime | None
    ended_at: datetime
    output: bytes | None
    error: bytes | None
    retry_at: datetime | None
    chunk: LogChunk | None


class Ended(msgspec.Struct, frozen=True):
    """What became of an ending: the job's state now (None: refused, the attempt is not ours any more)."""

    status: str | None
    wanted: bool


_CHUNKS = """chunk AS (
    INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
    SELECT c.job_id, c.first_seq, c.last_seq, c.attempt, c.lines
    FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::smallint[], $7::json[])
         AS c (job_id, first_seq, last_seq, attempt, lines)
    JOIN ended e ON e.job_id = c.job_id
    ON CONFLICT DO NOTHING
)"""

# Cancelling wins over whatever the handler returned.
_FINISH = f"""
WITH item AS (
    SELECT * FROM unnest($8::text[], $9::text[], $10::integer[], $11::text[], $12::timestamptz[],
                         $13::timestamptz[], $14::json[], $15::json[])
         AS i (tenant_id, job_id, fence, status, started_at, ended_at, output, error)
), ended AS (
    DELETE FROM job_queue q USING item i
    WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
      AND q.executor_id = $1
    RETURNING q.tenant_id, q.job_id, q.worker_id, q.trigger, q.attempt, q.worker_version, q.wanted,
              q.cancel_requested_at,
              i.started_at, i.ended_at, i.output, i.error,
              round(extract(epoch FROM i.ended_at - i.started_at) * 1000)::integer AS duration_ms,
              CASE WHEN q.cancel_requested_at IS NULL THEN i.status ELSE 'cancelled' END AS status
), result AS (
    INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, executor_id, worker_version,
                             started_at, completed_at, duration_ms, output, error, cancel_requested_at)
    SELECT tenant_id, job_id, worker_id, status, attempt, $1, worker_version, started_at, ended_at,
           duration_ms,
           CASE WHEN status = 'completed' THEN output END,
           CASE WHEN status = 'cancelled' THEN $2::json ELSE error END,
           cancel_requested_at
    FROM ended
), {JOB_ENDED}, {TALLY}, {_CHUNKS}
SELECT job_id, status, wanted FROM ended
"""

_RETRY = f"""
WITH item AS (
    SELECT * FROM unnest($8::text[], $9::text[], $10::integer[], $11::timestamptz[], $12::timestamptz[],
                         $13::json[], $14::timestamptz[])
         AS i (tenant_id, job_id, fence, started_at, ended_at, error, retry_at)
), ended AS (
    UPDATE job_queue q
    SET state = 'waiting', run_at = i.retry_at, rank = i.retry_at + (q.rank - q.run_at),
        attempt = q.attempt + 1,
        retries_left = q.retries_left - 1, executor_id = NULL, slot = NULL, tenant_slot = NULL,
        started_at = NULL
    FROM item i
    WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
      AND q.executor_id = $1 AND q.cancel_requested_at IS NULL AND q.retries_left > 0
    RETURNING q.job_id, q.fence, q.attempt - 1 AS attempt, q.worker_version, i.started_at, i.ended_at, i.error
), attempt AS (
    INSERT INTO job_attempts (job_id, attempt, fence, executor_id, worker_version,
                              started_at, ended_at, error)
    SELECT job_id, attempt, fence, $1, worker_version, started_at, ended_at, coalesce(error, $2::json)
    FROM ended
), {_CHUNKS}
SELECT job_id FROM ended
"""


async def finish_jobs(db: Database, *, executor_id: str, endings: Sequence[Ending]) -> list[Ended]:
    """End attempts: retries go back to wait, all others get their result, event and last log lines.

    Idempotent as far as a compare-and-set can be: sent again after a commit, it answers "refused".
    Answers in the order of `endings`.
    """
    after: dict[str, Ended] = {}
    retries = [e for e in endings if e.retry_at is not None]
    if retries:
        for row in await db.fetch(
            _RETRY,
            executor_id,
            CANCELLED_ERROR,
            *_chunk_columns(retries),
            *_key_columns(retries),
            [e.started_at for e in retries],
            [e.ended_at for e in retries],
            [e.error for e in retries],
            [e.retry_at for e in retries],
        ):
            after[row[0]] = Ended("queued", wanted=False)
    finals = [e for e in endings if e.job_id not in after]
    if finals:
        for row in await db.fetch(
            _FINISH,
            executor_id,
            CANCELLED_ERROR,
            *_chunk_columns(finals),
            *_key_columns(finals),
            [e.status for e in finals],
            [e.started_at for e in finals],
            [e.ended_at for e in finals],
            [e.output for e in finals],
            [e.error for e in finals],
        ):
            after[row[0]] = Ended(row[1], row[2])
    return [after.get(e.job_id, Ended(None, wanted=False)) for e in endings]


def _key_columns(endings: Sequence[Ending]) -> tuple[list[str], list[str], list[int]]:
    return [e.tenant_id for e in endings], [e.job_id for e in endings], [e.fence for e in endings]


def _chunk_columns(
    endings: Sequence[Ending],
) -> tuple[list[str], list[int], list[int], list[int], list[bytes]]:
    chunks = [e.chunk for e in endings if e.chunk is not None]
    return (
        [c.job_id for c in chunks],
        [c.first_seq for c in chunks],
        [c.last_seq for c in chunks],
        [c.attempt for c in chunks],
        [c.lines for c in chunks],
    )


async def append_logs(db: Database, *, executor_id: str, chunks: Sequence[LogChunk]) -> None:
    """Store log lines of attempts that this executor still holds; those of others are dropped."""
    await db.execute(
        """
        INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)
        SELECT c.job_id, c.first_seq, c.last_seq, c.attempt, c.lines
        FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[],
                    $7::smallint[], $8::json[])
             AS c (tenant_id, job_id, fence, first_seq, last_seq, attempt, lines)
        JOIN job_queue q ON q.tenant_id = c.tenant_id AND q.job_id = c.job_id AND q.fence = c.fence
             AND q.executor_id = $1
        ON CONFLICT DO NOTHING
        """,
        executor_id,
        [c.tenant_id for c in chunks],
        [c.job_id for c in chunks],
        [c.fence for c in chunks],
        [c.first_seq for c in chunks],
        [c.last_seq for c in chunks],
        [c.attempt for c in chunks],
        [c.lines for c in chunks],
    )


async def hand_back_jobs(db: Database, *, executor_id: str, jobs: Sequence[tuple[str, str, int]]) -> set[str]:
    """Return claimed jobs (tenant, job, fence) whose user code never began, free of charge.

    One whose cancel was asked for stays claimed. Returns the ids of those that went back.
    """
    rows = await db.fetch(
        """
        UPDATE job_queue q
        SET state = 'ready', executor_id = NULL, slot = NULL, tenant_slot = NULL, started_at = NULL
        FROM unnest($2::text[], $3::text[], $4::integer[]) AS i (tenant_id, job_id, fence)
        WHERE q.tenant_id = i.tenant_id AND q.job_id = i.job_id AND q.fence = i.fence
          AND q.executor_id = $1 AND q.cancel_requested_at IS NULL
        RETURNING q.job_id
        """,
        executor_id,
        [tenant for tenant, _, _ in jobs],
        [job for _, job, _ in jobs],
        [fence for _, _, fence in jobs],
    )
    return {row[0] for row in rows}
