"""How the API shows workers, jobs and what belongs to them.

Times are ISO 8601 in UTC with milliseconds and `Z`, everywhere. Field order is that of the
published examples, then what Runwright adds.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from runwright.core.job_state import JobStatus, Trigger
from runwright.jobs.model import JobError
from runwright.schedules.tick_policy import Overlap, TickReason, TickStatus
from runwright.workers.model import RuntimeName, VersionSource, VersionStatus, WorkerStatus

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


class VersionWire(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a worker's code."""

    worker_id: str
    version: Annotated[int, Meta(description="Counts up from 1.")]
    status: Annotated[
        VersionStatus,
        Meta(description="`building` while dependencies are installed; only a `ready` version can serve."),
    ]
    active: Annotated[bool, Meta(description="It is the one that serves.")]
    source: Annotated[VersionSource, Meta(description="`inline` source code or a deployed `bundle`.")]
    entrypoint: str
    source_code: Annotated[str | None, Meta(description="Of an inline version; null in lists.")]
    digest: Annotated[
        str | None,
        Meta(description="SHA-256 of a bundle's files in canonical form: equal files, equal digest."),
    ]
    size_bytes: Annotated[int | None, Meta(description="Of the source, or of all files unpacked.")]
    files: Annotated[int | None, Meta(description="Files in the bundle.")]
    error: Annotated[str | None, Meta(description="Why it failed.")]
    created_by: Annotated[str, Meta(description="The user or the key that made it.")]
    created_at: Time


class VersionLogWire(msgspec.Struct, frozen=True, kw_only=True):
    """What the installer of a version's dependencies has printed."""

    worker_id: str
    version: int
    status: VersionStatus
    log: Annotated[
        str, Meta(description="Empty where nothing was installed; of a long log the beginning and the end.")
    ]


class SecretWire(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, without its value."""

    name: Annotated[str, Meta(description="The environment variable that it becomes.")]
    updated_at: Annotated[Time, Meta(description="When its value was set.")]


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


class ScheduleWire(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    id: Annotated[str, Meta(description="`sch_` and a lower-case ULID.")]
    tenant_id: str
    worker_id: Annotated[str, Meta(description="The worker that it runs.")]
    name: str | None
    cron: Annotated[str, Meta(description="minute hour day month weekday")]
    timezone: Annotated[str, Meta(description="The IANA zone whose local time `cron` speaks of.")]
    input: JsonObject
    enabled: Annotated[bool, Meta(description="False: paused. Turns false when its worker is deprecated.")]
    next_run_at: Annotated[Time | None, Meta(description="When it fires next; null while it is not enabled.")]
    last_run_at: Annotated[Time | None, Meta(description="When it last fired.")]
    last_job_id: Annotated[str | None, Meta(description="The job of its last firing.")]
    created_at: Time
    updated_at: Annotated[Time, Meta(description="When it was last changed; firing is no change.")]
    catch_up: Annotated[
        Literal["none", "last"], Meta(description="Whether the latest missed firing is made up for.")
    ]
    overlap: Annotated[
        Overlap, Meta(description="Whether it fires while the job of its last firing is queued or running.")
    ]
    misfire_grace_seconds: Annotated[int, Meta(description="A firing later than this is missed.")]
    jitter_seconds: Annotated[int, Meta(description="Each firing is put off by up to this.")]
    missed_count: Annotated[int, Meta(description="Firings that were missed so far.")]
    created_by: Annotated[str, Meta(description="The user or the key that created it.")]


class TickWire(msgspec.Struct, frozen=True, kw_only=True):
    """One expected firing of a schedule, and what became of it."""

    scheduled_for: Annotated[Time, Meta(description="The time that the expression names.")]
    due_at: Annotated[Time, Meta(description="That time with its jitter.")]
    status: Annotated[TickStatus, Meta(description="What became of it.")]
    reason: Annotated[TickReason | None, Meta(description="Why it did not fire.")]
    message: Annotated[str | None, Meta(description="The same in words.")]
    job_id: Annotated[str | None, Meta(description="The job that it made.")]
    decided_at: Annotated[Time, Meta(description="When it fired, or was found not to.")]
    late_ms: Annotated[int | None, Meta(description="By how much it fired after `due_at`.")]
    count: Annotated[int, Meta(description="More than 1 where many that were missed are told as one.")]
    through: Annotated[Time | None, Meta(description="Until when those were.")]


class FiringWire(msgspec.Struct, frozen=True, kw_only=True):
    """One firing to come."""

    at: Time
    local: Annotated[
        str,
        Meta(description="The same instant in the schedule's zone.", examples=["2026-03-29T03:00:00+02:00"]),
    ]
    note: Annotated[
        Literal["skipped_local_time", "repeated_local_time"] | None,
        Meta(description="What the clock of the zone does to this firing."),
    ]
    message: Annotated[str | None, Meta(description="The same in words.")]


class PreviewWire(msgspec.Struct, frozen=True, kw_only=True):
    """The next firings of an expression."""

    cron: str
    timezone: str
    firings: Annotated[list[FiringWire], Meta(description="In their order.")]
