"""How the API shows workers, jobs and what belongs to them.

Times are ISO 8601 in UTC with milliseconds and `Z`, everywhere. Field order is that of the
published examples, then what Runwright adds.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from runwright.core.jobs import JobStatus, Trigger
from runwright.jobs.model import JobError
from runwright.workers.model import RuntimeName, WorkerStatus

T = TypeVar("T")

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2025-06-01T10:00:00.000Z"])]
AnyJson = Annotated[msgspec.Raw, Meta(extra_json_schema={"description": "Any JSON value."})]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class Data(msgspec.Struct, Generic[T], frozen=True):
    """The envelope of every success."""

    data: T


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a list a page is; `page` is null for a page that a cursor asked for."""

    page: int | None
    per_page: int
    total: Annotated[int, Meta(description="Exact up to 10,000, an estimate above.")]
    has_more: bool
    next_cursor: str | None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The envelope of a list, newest first."""

    data: list[T]
    pagination: Pagination


class WorkerWire(msgspec.Struct, frozen=True, kw_only=True):
    """A worker."""

    id: Annotated[str, Meta(description="`wkr_` and a lower-case ULID.")]
    tenant_id: str
    name: str
    runtime: Annotated[RuntimeName, Meta(description="Fixed when the worker is created.")]
    description: str | None
    status: Annotated[WorkerStatus, Meta(description="`paused` and `deprecated` workers take no new jobs.")]
    version: Annotated[int, Meta(description="Counts up with each change of source code or entrypoint.")]
    entrypoint: Annotated[str, Meta(description="The file that holds the handler.")]
    source_code: Annotated[str | None, Meta(description="Null where nothing has been given yet.")]
    config: Annotated[dict[str, Any], Meta(description="Injected as environment variables.")]
    secrets: Annotated[list[str], Meta(description="Names only; values are never shown.")]
    timeout_seconds: Annotated[int, Meta(description="Longest run of one attempt.")]
    max_retries: Annotated[int, Meta(description="Automatic retries after a failure.")]
    max_concurrency: Annotated[int | None, Meta(description="Most jobs that run at once; null: no limit.")]
    memory_mb: Annotated[int, Meta(description="Memory of one sandbox.")]
    network: Annotated[Any, Meta(description='`none`, `public` or `{"allow": [hosts]}`.')]
    created_by: Annotated[str, Meta(description="The user or the key that created it.")]
    created_at: Time
    updated_at: Time


class JobWire(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    id: Annotated[str, Meta(description="`job_` and a lower-case ULID.")]
    worker_id: str
    tenant_id: str
    status: Annotated[
        JobStatus, Meta(description="Ends as completed, failed or cancelled, and never changes after.")
    ]
    trigger: Annotated[Trigger, Meta(description="What caused the job.")]
    priority: Annotated[int, Meta(description="1 (first) to 10 (last).")]
    input: JsonObject
    triggered_by: Annotated[str, Meta(description="The user or the key that submitted it.")]
    created_at: Time
    started_at: Annotated[Time | None, Meta(description="When the latest attempt began.")]
    completed_at: Annotated[Time | None, Meta(description="When the job ended.")]
    duration_ms: Annotated[
        int | None, Meta(description="From `started_at` to `completed_at` of the last attempt.")
    ]
    output: AnyJson
    error: Annotated[JobError | None, Meta(description="Why it failed or was cancelled.")]
    worker_version: Annotated[int, Meta(description="The version that ran, or would run now.")]
    attempt: Annotated[int, Meta(description="Which attempt this is, from 1.")]
    max_retries: Annotated[int, Meta(description="Automatic retries it may have.")]
    scheduled_at: Annotated[Time | None, Meta(description="Not before this time.")]
    cancel_requested_at: Annotated[Time | None, Meta(description="When a running job was asked to end.")]
    retry_of: Annotated[str | None, Meta(description="The job that this one repeats.")]
    schedule_id: Annotated[str | None, Meta(description="The schedule that made it.")]


class AttemptWire(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job."""

    attempt: Annotated[int, Meta(description="From 1.")]
    status: Annotated[str, Meta(description="How it ended, or `running`.")]
    worker_version: int
    executor_id: Annotated[str | None, Meta(description="Who ran it.")]
    started_at: Time | None
    completed_at: Time | None
    duration_ms: int | None
    error: Annotated[JobError | None, Meta(description="Why it did not complete.")]


class LogLineWire(msgspec.Struct, frozen=True):
    """One line of a job's log."""

    ts: Time
    level: Annotated[str, Meta(description="`info`, `warn` or `error`.")]
    msg: str
    seq: Annotated[int, Meta(description="Counts up within the job; what `after` takes.")]
    attempt: Annotated[int, Meta(description="The attempt that wrote it.")]


class JobLogsWire(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a job's log; `next_after` (where not null) continues it."""

    job_id: str
    job_status: JobStatus
    logs: list[LogLineWire]
    next_after: Annotated[
        int | None, Meta(description="`after` of the next page; null where nothing more is there yet.")
    ]


class ReasonWire(msgspec.Struct, frozen=True):
    """One reason, for a machine (`code`) and for a person (`message`)."""

    code: str
    message: str
    details: dict[str, Any]


class ExplanationWire(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is where it is."""

    job_id: str
    status: JobStatus
    summary: str
    reasons: list[ReasonWire]
