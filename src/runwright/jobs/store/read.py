"""Reading jobs: one or several.

The status of a job is stored in job_queue until it ends, and in job_results afterwards.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.job_state import JobStatus, Trigger
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.model import NULL, Job, JobError, JobProgress, LiveState

_decode_progress: Final = msgspec.json.Decoder(tuple[float | None, str | None, datetime]).decode

SMALL_PAYLOAD_BYTES: Final = 1_000
"""As stored, which may be compressed to a hundredth."""

_COMPRESSION: Final = 100
_LARGEST_PAYLOAD: Final = 1024 * 1024
_OTHER_COLUMNS: Final = """
    j.id, j.worker_id, j.tenant_id, j.trigger, j.priority, j.triggered_by, j.created_at,
    j.scheduled_at, j.max_retries, j.retry_of, j.schedule_id, j.parent_job_id,
    coalesce(r.status, CASE WHEN q.state = 'running' THEN 'running' ELSE 'queued' END) AS status,
    coalesce(r.attempt, q.attempt) AS attempt,
    coalesce(r.worker_version, q.worker_version, j.worker_version) AS worker_version,
    CASE WHEN r.job_id IS NULL THEN q.started_at ELSE r.started_at END AS started_at,
    r.completed_at, r.duration_ms, r.error,
    coalesce(r.cancel_requested_at, q.cancel_requested_at) AS cancel_requested_at,
    (SELECT w.name FROM workers w WHERE w.id = j.worker_id) AS worker_name,
    (SELECT x.retried_as FROM job_retries x
     WHERE x.tenant_id = j.tenant_id AND x.job_id = j.id) AS retried_as,
    (SELECT json_build_array(p.fraction, p.message, p.updated_at) FROM job_progress p
     WHERE p.tenant_id = j.tenant_id AND p.job_id = j.id AND p.attempt = coalesce(r.attempt, q.attempt)
    ) AS progress
"""
JOB_COLUMNS: Final = f"j.input, r.output, {_OTHER_COLUMNS}"
_NO_PAYLOADS: Final = "'{}'::json AS input, NULL::json AS output"
SUMMARY_COLUMNS: Final = f"{_NO_PAYLOADS}, {_OTHER_COLUMNS}"
"""Those of a job without its payloads, which are not read."""

_SIZES: Final = [f"coalesce(pg_column_size({column}), 0)" for column in ("j.input", "r.output")]
_ARE_SMALL: Final = f"greatest({', '.join(_SIZES)}) <= {SMALL_PAYLOAD_BYTES}"
_MOST_BYTES: Final = " + ".join(f"least({size} * {_COMPRESSION}, {_LARGEST_PAYLOAD})" for size in _SIZES)
LIST_COLUMNS: Final = f"""
    CASE WHEN {_ARE_SMALL} THEN j.input ELSE '{{}}'::json END AS input,
    CASE WHEN {_ARE_SMALL} THEN r.output END AS output,
    CASE WHEN {_ARE_SMALL} THEN 0 ELSE {_MOST_BYTES} END AS left_out,
    {_OTHER_COLUMNS}
"""
"""Those of a job without large payloads; `left_out` is how many bytes these may have."""

JOB_STATE: Final = """
    LEFT JOIN job_queue q ON q.tenant_id = j.tenant_id AND q.job_id = j.id
    LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
"""


def job_from_row(row: Record) -> Job:
    """Build a job from a row with `JOB_COLUMNS`."""
    values = dict(row)
    values["status"] = JobStatus(values["status"])
    values["trigger"] = Trigger(values["trigger"])
    values["output"] = NULL if values["output"] is None else values["output"]
    values["error"] = error_from(values["error"])
    values["progress"] = _progress_from(values["progress"])
    return Job(**values)


def _progress_from(raw: msgspec.Raw | None) -> JobProgress | None:
    return None if raw is None else JobProgress(*_decode_progress(raw))


def error_from(raw: msgspec.Raw | None) -> JobError | None:
    """Read a stored error."""
    return None if raw is None else msgspec.json.decode(raw, type=JobError)


async def fetch_job(db: Database, *, tenant_id: str, job_id: str) -> Job | None:
    """Return one job as it is now."""
    row = await db.fetchrow(
        f"SELECT {JOB_COLUMNS} FROM jobs j {JOB_STATE} WHERE j.tenant_id = $1 AND j.id = $2",
        tenant_id,
        job_id,
    )
    return None if row is None else job_from_row(row)


async def fetch_jobs(
    db: Database | PoolConnection, *, tenant_id: str, job_ids: Sequence[str], columns: str = JOB_COLUMNS
) -> list[Job]:
    """Return these jobs, ordered by id; unknown ones are left out."""
    rows = await db.fetch(
        f"SELECT {columns} FROM jobs j {JOB_STATE} WHERE j.tenant_id = $1 AND j.id = ANY ($2) ORDER BY j.id",
        tenant_id,
        job_ids,
    )
    return [job_from_row(row) for row in rows]


async def fetch_jobs_by_key(db: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Job]:
    """Return the jobs with these (tenant, id); unknown ones are left out."""
    rows = await db.fetch(
        f"""
        SELECT {JOB_COLUMNS} FROM unnest($1::text[], $2::text[]) AS k (tenant_id, job_id)
        JOIN jobs j ON j.tenant_id = k.tenant_id AND j.id = k.job_id {JOB_STATE}
        """,
        [tenant_id for tenant_id, _ in keys],
        [job_id for _, job_id in keys],
    )
    return {(row["tenant_id"], row["id"]): job_from_row(row) for row in rows}


async def fetch_live_state(db: Database, *, tenant_id: str, job_id: str) -> LiveState | None:
    """Return the state of a job of the tenant; None where there is no such job."""
    row = await db.fetchrow(
        """
        SELECT coalesce(r.status, CASE q.state WHEN 'running' THEN 'running' ELSE 'queued' END) AS status,
               p.fraction, p.message, p.updated_at
        FROM jobs j
        LEFT JOIN job_results r ON r.tenant_id = j.tenant_id AND r.job_id = j.id
        LEFT JOIN job_queue q ON q.tenant_id = j.tenant_id AND q.job_id = j.id
        LEFT JOIN job_progress p ON p.tenant_id = j.tenant_id AND p.job_id = j.id
             AND p.attempt = coalesce(r.attempt, q.attempt)
        WHERE j.tenant_id = $1 AND j.id = $2
        """,
        tenant_id,
        job_id,
    )
    if row is None:
        return None
    status, fraction, message, updated_at = row
    progress = None if updated_at is None else JobProgress(fraction, message, updated_at)
    return LiveState(JobStatus(status), progress)
