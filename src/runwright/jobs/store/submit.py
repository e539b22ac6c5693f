"""Submitting: accepted jobs are written and queued in one statement per batch."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.errors import ConflictError, NoCodeError, NotFoundError, TenantSuspendedError
from runwright.core.ids import JobId, WorkerId, new_id
from runwright.core.job_state import JobStatus, Trigger
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import Recordset
from runwright.events.event_sql import append_sql, has_readers_sql
from runwright.jobs.model import ClaimedAttempt, Job

PRIORITY_HANDICAP: Final = timedelta(minutes=10)
"""How much later in the queue one step of priority puts a job; also how fast low priority ages."""


DEFAULT_PRIORITY: Final = 5
UNCHECKED: Final = 0
"""The `schema_revision` of an input that has to be checked and was not; revisions count from 1."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job to insert, made by `new_submission`. `input` is JSON text of an object, already validated."""

    id: JobId
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
    pinned_version: int | None = None
    """The version that it runs; None: the one that serves when it starts."""
    schema_revision: int | None = None
    """For which revision of the worker its input was checked; None: it need not be checked."""
    awaited: bool = False
    """Whether a request waits for the result: then its end is announced to the other processes."""
    parent_job_id: str | None = None
    """The job whose handler started it."""

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
    pinned_version: int | None = None,
    schema_revision: int | None = None,
) -> Submission:
    """Return a job to insert, with a new id."""
    return Submission(
        id=JobId(new_id("job", now)),
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
        pinned_version=pinned_version,
        schema_revision=schema_revision,
    )


def repeat_of(job: Job, *, triggered_by: str, now: datetime, pinned: bool = False) -> Submission:
    """Return a new job with the input of one that has ended, which names that one.

    `pinned`: it runs the version that the other one ran.
    """
    return new_submission(
        tenant_id=job.tenant_id,
        worker_id=job.worker_id,
        input=bytes(job.input),
        trigger=job.trigger,
        triggered_by=triggered_by,
        now=now,
        priority=job.priority,
        retry_of=job.id,
        schedule_id=job.schedule_id,
        pinned_version=job.worker_version if pinned else None,
    )


class Accepted(msgspec.Struct, frozen=True):
    """What the worker's settings add to an accepted job; `started`: it is running already."""

    max_retries: int
    worker_version: int
    worker_revision: int = 0
    started: bool = False
    worker_name: str | None = None


class Rejection(StrEnum):
    """Why a job was not accepted; the values complete "The worker is …"."""

    WORKER_MISSING = "gone"
    WORKER_PAUSED = "paused"
    WORKER_DEPRECATED = "deprecated"
    TENANT_SUSPENDED = "suspended"
    NO_CODE = "without any code"
    """Nothing was deployed to it yet, and no source was set. Schedules and events do not ask for it."""
    INPUT_UNCHECKED = "changing its input schema"
    """It has an input schema, and the input was not checked for its present revision."""


_ITEMS: Final = Recordset(
    "id text, tenant_id text, worker_id text, trigger text, priority smallint, input json, triggered_by text,"
    "scheduled_at timestamptz, retry_of text, created_at timestamptz, schedule_id text,"
    "pinned_version integer, schema_revision integer, awaited boolean, parent_job_id text,"
    "run_at timestamptz, rank timestamptz",
    start="boolean",
)

_QUEUED_EVENTS: Final = append_sql(
    f"""SELECT inserted.tenant_id, 'job.queued', inserted.id, inserted.created_at,
           json_build_object('attempt', 1, 'worker_version', inserted.worker_version)
    FROM inserted WHERE {has_readers_sql("inserted.tenant_id", "job.queued")}
    UNION ALL
    SELECT queued.tenant_id, 'job.started', queued.job_id, queued.started_at,
           json_build_object('attempt', 1, 'worker_version', queued.worker_version)
    FROM queued WHERE queued.started_at IS NOT NULL
      AND {has_readers_sql("queued.tenant_id", "job.started")}"""
)

# The lock on the worker makes submitting and deprecating happen one after the other, so that no job
# is inserted behind the cancellation of those that wait. A batch that is sent again after a lost
# connection finds its rows there and reports them as accepted.
_INSERT: Final = f"""
WITH item AS (
    -- the jobs to insert
    SELECT * FROM {_ITEMS.sql(3)}
),
-- their workers, with what they add to a job, and whether jobs may start at once on the executor $1
worker AS (
    SELECT w.id, w.tenant_id, w.name, w.version, w.revision, w.max_retries,
           CASE WHEN w.input_schema IS NOT NULL THEN w.revision END AS schema_revision,
           CASE WHEN t.status = 'suspended' THEN '{Rejection.TENANT_SUSPENDED}' ELSE w.status END AS status,
           w.max_concurrency IS NULL AND t.running_jobs IS NULL
           AND coalesce(w.runtime || '@' || w.runtime_version, w.runtime) = ANY (string_to_array($2, ' '))
           AND EXISTS (
               SELECT 1 FROM executors e WHERE e.id = $1 AND e.lease_expires_at > clock_timestamp()
           ) AS may_start,
           EXISTS (
               SELECT 1 FROM worker_versions v WHERE v.worker_id = w.id AND v.version = w.version
                 AND (v.source_code IS NOT NULL OR v.bundle_digest IS NOT NULL)
           ) AS has_code
    FROM workers w LEFT JOIN tenants t ON t.id = w.tenant_id
    WHERE w.id IN (SELECT worker_id FROM item) FOR SHARE OF w
),
-- the jobs that are accepted and new: of active workers, with inputs that are checked where they have to be
inserted AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by,
                      scheduled_at, retry_of, schedule_id, parent_job_id, max_retries, worker_version,
                      created_at)
    SELECT i.tenant_id, i.id, i.worker_id, i.trigger, i.priority, i.input, i.triggered_by,
           i.scheduled_at, i.retry_of, i.schedule_id, i.parent_job_id, w.max_retries,
           coalesce(i.pinned_version, w.version), i.created_at
    FROM item i JOIN worker w ON w.id = i.worker_id AND w.tenant_id = i.tenant_id AND w.status = 'active'
        AND coalesce(w.schema_revision = i.schema_revision, true)
        AND (w.has_code OR i.trigger <> '{Trigger.MANUAL}' OR i.pinned_version IS NOT NULL)
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, id, max_retries, worker_version, created_at
),
-- their place in the queue, or as running where they start at once
queued AS (
    INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, state, priority, run_at, rank, retries_left,
                           wanted, worker_version, pinned, fence, executor_id, started_at)
    SELECT i.tenant_id, i.id, i.worker_id, i.trigger,
           CASE WHEN i.start AND w.may_start THEN 'running' WHEN i.run_at > i.created_at THEN 'waiting'
                ELSE 'ready' END,
           i.priority, i.run_at, i.rank, n.max_retries, i.awaited, n.worker_version,
           i.pinned_version IS NOT NULL,
           CASE WHEN i.start AND w.may_start THEN 1 ELSE 0 END,
           CASE WHEN i.start AND w.may_start THEN $1 END,
           CASE WHEN i.start AND w.may_start THEN i.created_at END
    FROM inserted n JOIN item i ON i.id = n.id JOIN worker w ON w.id = i.worker_id
    RETURNING tenant_id, job_id, started_at, worker_version
),
-- their events, where there is a subscription: queued, or started
{_QUEUED_EVENTS}
SELECT i.id,
       CASE WHEN w.status IS DISTINCT FROM 'active' THEN w.status
            WHEN NOT w.has_code AND i.trigger = '{Trigger.MANUAL}' THEN '{Rejection.NO_CODE}'
            ELSE '{Rejection.INPUT_UNCHECKED}' END AS worker_status,
       coalesce(n.max_retries, j.max_retries) AS max_retries,
       coalesce(n.worker_version, j.worker_version) AS worker_version,
       w.revision AS worker_revision, w.name AS worker_name,
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
    db: Database | PoolConnection,
    items: Sequence[Submission],
    *,
    starting: Collection[str] = (),
    executor_id: str | None = None,
    runtimes: Sequence[str] = (),
) -> list[Accepted | Rejection]:
    """Insert and queue the jobs whose worker is active; return an answer for each item, in their order.

    The jobs whose ids are in `starting` are inserted as running on this executor, which has these
    runtimes, where the worker permits it. Idempotent: a job that is there already is accepted
    (and not started).
    """
    rows = await db.fetch(
        _INSERT,
        executor_id,
        " ".join(runtimes),
        *_ITEMS.parameters(items, [i.id in starting for i in items]),
    )
    answers = {row["id"]: _answer(row) for row in rows}
    return [answers[i.id] for i in items]


def _answer(row: Record) -> Accepted | Rejection:
    if row["max_retries"] is not None:
        return Accepted(
            row["max_retries"],
            row["worker_version"],
            row["worker_revision"],
            row["started"],
            row["worker_name"],
        )
    return Rejection(row["worker_status"] or Rejection.WORKER_MISSING)


def started_attempt(item: Submission, answer: Accepted) -> ClaimedAttempt:
    """Return the attempt of a job that was accepted as running."""
    return ClaimedAttempt(
        tenant_id=item.tenant_id,
        job_id=item.id,
        worker_id=WorkerId(item.worker_id),
        worker_version=answer.worker_version,
        worker_revision=answer.worker_revision,
        attempt=1,
        retries_left=answer.max_retries,
        fence=1,
        input=item.input,
        awaited=item.awaited,
        due_at=item.run_at,
    )


def accepted_job(item: Submission, answer: Accepted | Rejection) -> Job:
    """Return the record of a job just accepted, or raise why it was not."""
    if isinstance(answer, Rejection):
        raise _rejected(item, answer)
    return Job(
        id=item.id,
        worker_id=item.worker_id,
        tenant_id=item.tenant_id,
        status=JobStatus.QUEUED,
        trigger=item.trigger,
        priority=item.priority,
        input=msgspec.Raw(item.input),
        triggered_by=item.triggered_by,
        created_at=item.created_at,
        scheduled_at=item.scheduled_at,
        worker_version=answer.worker_version,
        attempt=1,
        max_retries=answer.max_retries,
        retry_of=item.retry_of,
        schedule_id=item.schedule_id,
        worker_name=answer.worker_name,
        parent_job_id=item.parent_job_id,
    )


def _rejected(item: Submission, why: Rejection) -> Exception:
    if why is Rejection.WORKER_MISSING:
        return NotFoundError(f"There is no worker {item.worker_id}.")
    if why is Rejection.TENANT_SUSPENDED:
        return TenantSuspendedError("The tenant is suspended.")
    if why is Rejection.NO_CODE:
        return NoCodeError(
            f"The worker {item.worker_id} has no code yet: deploy a bundle, or set its source."
        )
    return ConflictError(f"The worker {item.worker_id} is {why} and takes no new jobs.")


async def record_retries(
    db: PoolConnection, tenant_id: str, retries: Sequence[Submission], *, again: bool
) -> frozenset[str]:
    """Record which job repeats which; return the repeated ones whose record is new.

    `again`: whether a job that was repeated before may be, which moves its record to the latest one.
    """
    action = "UPDATE SET retried_as = excluded.retried_as" if again else "NOTHING"
    rows = await db.fetch(
        f"""
        INSERT INTO job_retries (tenant_id, job_id, retried_as)
        SELECT $1, r.job_id, r.retried_as FROM unnest($2::text[], $3::text[]) AS r (job_id, retried_as)
        ORDER BY r.job_id ON CONFLICT {"(tenant_id, job_id) " if again else ""}DO {action} RETURNING job_id
        """,
        tenant_id,
        [item.retry_of for item in retries],
        [item.id for item in retries],
    )
    return frozenset(row["job_id"] for row in rows)


async def count_queued(db: Database, tenant_id: str, bound: int) -> int:
    """Return how many jobs of a tenant are queued, at most `bound`."""
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


async def count_running(db: Database, tenant_id: str, bound: int) -> int:
    """Return how many jobs of a tenant are running, at most `bound`."""
    count: int = await db.fetchval(
        """
        SELECT count(*) FROM (
            SELECT 1 FROM job_queue WHERE tenant_id = $1 AND state = 'running' LIMIT $2
        ) AS bounded
        """,
        tenant_id,
        bound,
    )
    return count
