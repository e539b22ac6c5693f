"""Following jobs: being told of an end, once, in a transaction of one's own.

States of a row of followed_jobs: waiting for its job's end → due (the end is in job_results) → gone,
in the transaction that acts on the end; or due later, where acting on it failed.

Invariants: the row is written in the transaction that submits the job, and deleted in the one that
acts. So whoever follows is told of every end exactly once, whichever process dies.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.completion import CompletionCallback, DueCompletionCallback
from runwright.core.job_state import JobStatus
from runwright.db.pool import Database, PoolConnection
from runwright.jobs.model import JobError


class EndedJob(msgspec.Struct, frozen=True, kw_only=True):
    """How a followed job ended; `output` is JSON text where it completed."""

    id: str
    tenant_id: str
    worker_id: str
    status: JobStatus
    attempt: int
    started_at: datetime | None
    completed_at: datetime
    output: msgspec.Raw | None
    error: JobError | None


async def follow_jobs(db: PoolConnection, follows: Sequence[CompletionCallback]) -> None:
    """Ask to be told of the ends of jobs, in the transaction that submits them."""
    await db.execute(
        """
        INSERT INTO followed_jobs (job_id, kind, subject_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
        """,
        [one.followed_id for one in follows],
        [one.kind for one in follows],
        [one.subject_id for one in follows],
    )


async def record_ancestry(db: PoolConnection, job_ids: Sequence[str], path: Sequence[str]) -> None:
    """Say which agents and automations led to jobs, in the transaction that submits them."""
    await db.execute(
        "INSERT INTO job_ancestry (job_id, path) SELECT id, $2 FROM unnest($1::text[]) AS j (id)"
        " ON CONFLICT DO NOTHING",
        job_ids,
        list(path),
    )


class JobCompletionCallbacks:
    """The wishes about jobs, for `engine.follower.Follower`."""

    async def anything(self, db: Database) -> bool:
        """Tell whether somebody waits for the end of any job."""
        return bool(await db.fetchval("SELECT EXISTS (SELECT FROM followed_jobs)"))

    async def take(
        self, db: PoolConnection, *, kinds: Sequence[str], limit: int, now: datetime
    ) -> Sequence[DueCompletionCallback[EndedJob]]:
        """Take up to `limit` wishes whose job has ended; whoever commits has acted on them.

        Rows that somebody else holds are skipped.
        """
        rows = await db.fetch(_TAKE, kinds, limit, now)
        return [
            DueCompletionCallback(
                CompletionCallback(row["job_id"], row["kind"], row["subject_id"]), _ended(row)
            )
            for row in rows
        ]

    async def postpone(self, db: Database, wish: CompletionCallback, *, until: datetime) -> None:
        """Leave a wish alone for a while."""
        await db.execute(
            "UPDATE followed_jobs SET due_at = $4 WHERE job_id = $1 AND kind = $2 AND subject_id = $3",
            wish.followed_id,
            wish.kind,
            wish.subject_id,
            until,
        )


_TAKE: Final = """
WITH due AS (
    SELECT f.job_id, f.kind, f.subject_id
    FROM followed_jobs f JOIN job_results r ON r.job_id = f.job_id
    WHERE f.kind = ANY ($1) AND f.due_at <= $3 LIMIT $2 FOR UPDATE OF f SKIP LOCKED
), taken AS (
    DELETE FROM followed_jobs f USING due d
    WHERE f.job_id = d.job_id AND f.kind = d.kind AND f.subject_id = d.subject_id
    RETURNING f.job_id, f.kind, f.subject_id
)
SELECT t.kind, t.subject_id, r.job_id, r.tenant_id, r.worker_id, r.status, r.attempt, r.started_at,
       r.completed_at, r.output, r.error
FROM taken t JOIN job_results r ON r.job_id = t.job_id ORDER BY r.completed_at, r.job_id
"""


def _ended(row: Record) -> EndedJob:
    return EndedJob(
        id=row["job_id"],
        tenant_id=row["tenant_id"],
        worker_id=row["worker_id"],
        status=JobStatus(row["status"]),
        attempt=row["attempt"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        output=row["output"],
        error=None if row["error"] is None else msgspec.json.decode(row["error"], type=JobError),
    )
