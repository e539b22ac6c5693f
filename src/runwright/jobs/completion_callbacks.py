"""The ends of jobs, for completion callbacks (events/completion.py), and the ancestry of jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.job_state import JobStatus
from runwright.db.pool import PoolConnection
from runwright.events.completion import CompletionSource, CompletionTarget
from runwright.jobs.model import JobError
from runwright.jobs.store.read import error_from


class EndedJob(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended; `output` is JSON text where it completed."""

    id: str
    tenant_id: str
    worker_id: str
    status: JobStatus
    attempt: int
    started_at: datetime | None
    completed_at: datetime
    output: msgspec.Raw | None
    error: JobError | None


async def record_ancestry(db: PoolConnection, job_ids: Sequence[str], path: Sequence[str]) -> None:
    """Record which agents and automations led to jobs, in the transaction that submits them."""
    await db.execute(
        "INSERT INTO job_ancestry (job_id, path) SELECT id, $2 FROM unnest($1::text[]) AS j (id)"
        " ON CONFLICT DO NOTHING",
        job_ids,
        list(path),
    )


async def _fetch_ended(db: PoolConnection, job_ids: Sequence[str], _now: datetime) -> dict[str, EndedJob]:
    rows = await db.fetch(
        """
        SELECT job_id AS id, tenant_id, worker_id, status, attempt, started_at, completed_at, output, error
        FROM job_results WHERE job_id = ANY ($1) ORDER BY completed_at, job_id
        """,
        job_ids,
    )
    return {row["id"]: _ended(row) for row in rows}


def _ended(row: Record) -> EndedJob:
    values = dict(row) | {"status": JobStatus(row["status"]), "error": error_from(row["error"])}
    return EndedJob(**values)


JOB_ENDS: Final = CompletionSource(
    target=CompletionTarget.JOB,
    ended="EXISTS (SELECT FROM job_results r WHERE r.job_id = c.target_id)",
    fetch=_fetch_ended,
)
