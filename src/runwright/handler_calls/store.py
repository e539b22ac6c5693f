"""Jobs that running jobs start: in one transaction, while the one that starts them is surely running.

A job that was started names its parent. The first job of a tree counts all that it has led to, so a tree is
bounded in depth and in number however its jobs start each other.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from runwright.core.errors import ConflictError, InvalidError, NotFoundError, TenantSuspendedError
from runwright.core.ids import JobId
from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection
from runwright.db.rows import struct_from_row
from runwright.jobs.completion_callbacks import record_ancestry
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.store.submit import Rejection, insert_jobs, new_submission
from runwright.tenants.idempotency import Idempotency, reserve_key
from runwright.workers.input_schemas import refuse_tool_inputs

MOST_DEPTH: Final = 8
"""The jobs in a chain, the first one included."""
MOST_STARTED: Final = 1000
"""The jobs that one job leads to, directly or not."""
KEY_PREFIX: Final = "\x1f"
"""What the keys of handlers begin with, among those of requests, which cannot have this character."""


class RunningAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that an executor holds; its fence and the executor prove that it is running."""

    attempt: ClaimedAttempt
    executor_id: str


class CallingJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a running job hands down to what it causes."""

    id: JobId
    tenant_id: str
    worker_id: str
    trigger: Trigger
    priority: int
    triggered_by: str
    path: Sequence[str] | None
    """The agents and automations that led to it."""


class ChildJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to start: its id, a worker of the same tenant by name or id, an input, and perhaps a key."""

    id: JobId
    worker: str
    input: bytes
    key: str | None


async def lock_calling_job(db: PoolConnection, running: RunningAttempt) -> CallingJob:
    """Return the job of an attempt that is running, and keep it from ending before this transaction does.

    ConflictError where it is not running any more.
    """
    row = await db.fetchrow(
        """
        SELECT j.id, j.tenant_id, j.worker_id, j.trigger, j.priority, j.triggered_by, a.path
        FROM job_queue q
        JOIN jobs j ON j.tenant_id = q.tenant_id AND j.id = q.job_id
        LEFT JOIN job_ancestry a ON a.job_id = q.job_id
        WHERE q.tenant_id = $1 AND q.job_id = $2 AND q.fence = $3 AND q.executor_id = $4
        FOR SHARE OF q
        """,
        running.attempt.tenant_id,
        running.attempt.job_id,
        running.attempt.fence,
        running.executor_id,
    )
    if row is None:
        raise ConflictError("The job is not running any more.")
    return struct_from_row(CallingJob, row, trigger=Trigger(row["trigger"]))


async def start_child(db: PoolConnection, parent: CallingJob, child: ChildJob, now: datetime) -> JobId:
    """Submit a job for a running one and return its id, or that of the one that its key was used for.

    NotFoundError, InvalidError or ConflictError where there is no such worker, the input does not match its
    schema, or a limit is reached.
    """
    worker_id = await _worker_named(db, parent.tenant_id, child.worker)
    [problem] = await refuse_tool_inputs(db, [(worker_id, child.input)])
    if problem is not None:
        raise InvalidError({"input": [f"The input does not match the worker's input schema. {problem}"]})
    if child.key is not None:
        digest = sha256(msgspec.json.encode((worker_id, child.input))).digest()
        prior = await reserve_key(
            db,
            Idempotency(child_key(parent.id, child.key), digest),
            tenant_id=parent.tenant_id,
            ids=[child.id],
            now=now,
            refusal="This key was used with another worker or input.",
        )
        if prior is not None:
            return JobId(prior[0])
    await _count_in_tree(db, parent)
    await _submit(db, parent, worker_id, child, now)
    return child.id


def child_key(parent_id: JobId, key: str) -> str:
    """Return the idempotency key of a job that another one starts with a key."""
    return f"{KEY_PREFIX}{parent_id}:{key}"


async def _worker_named(db: PoolConnection, tenant_id: str, name: str) -> str:
    rows = await db.fetch(
        "SELECT id FROM workers WHERE tenant_id = $1 AND (id = $2 OR name = $2 AND status <> 'deprecated')"
        " ORDER BY id = $2 DESC LIMIT 2",
        tenant_id,
        name,
    )
    if not rows:
        raise NotFoundError(f"There is no worker {name[:100]}.")
    if len(rows) > 1 and rows[0]["id"] != name:
        raise ConflictError(f"Several workers are named {name[:100]}; use an id.")
    worker_id: str = rows[0]["id"]
    return worker_id


async def _count_in_tree(db: PoolConnection, parent: CallingJob) -> None:
    """Count one more job of the parent's tree; ConflictError if it would be too deep or too large."""
    chain = await db.fetch(
        """
        WITH RECURSIVE chain AS (
            SELECT id, parent_job_id, 1 AS depth FROM jobs WHERE tenant_id = $1 AND id = $2
            UNION ALL
            SELECT j.id, j.parent_job_id, c.depth + 1
            FROM chain c JOIN jobs j ON j.tenant_id = $1 AND j.id = c.parent_job_id WHERE c.depth < $3
        )
        SELECT id FROM chain ORDER BY depth
        """,
        parent.tenant_id,
        parent.id,
        MOST_DEPTH,
    )
    if len(chain) >= MOST_DEPTH:
        raise ConflictError(f"A job that others started may be {MOST_DEPTH} deep, the first one included.")
    counted = await db.fetchval(
        """
        INSERT INTO job_trees AS t (tenant_id, root_job_id, started) VALUES ($1, $2, 1)
        ON CONFLICT (tenant_id, root_job_id) DO UPDATE SET started = t.started + 1 WHERE t.started < $3
        RETURNING true
        """,
        parent.tenant_id,
        chain[-1]["id"],
        MOST_STARTED,
    )
    if not counted:
        raise ConflictError(f"A job may lead to {MOST_STARTED} others, directly or not.")


async def _submit(
    db: PoolConnection, parent: CallingJob, worker_id: str, child: ChildJob, now: datetime
) -> None:
    submission = new_submission(
        tenant_id=parent.tenant_id,
        worker_id=worker_id,
        input=child.input,
        trigger=parent.trigger,
        triggered_by=parent.triggered_by,
        now=now,
        priority=parent.priority,
    )
    submission = msgspec.structs.replace(submission, id=child.id, parent_job_id=parent.id)
    (answer,) = await insert_jobs(db, [submission])
    if answer is Rejection.TENANT_SUSPENDED:
        raise TenantSuspendedError("The tenant is suspended.")
    if isinstance(answer, Rejection):
        raise ConflictError(f"The worker {child.worker[:100]} is {answer} and takes no new jobs.")
    if parent.path:
        await record_ancestry(db, [child.id], parent.path)
