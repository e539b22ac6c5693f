"""How the API shows workers, jobs and what belongs to them.

Times are ISO 8601 in UTC with milliseconds and `Z`, everywhere. Field order is that of the
published examples, then what Runwright adds.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from runwright.core.jobs import JobStatus, Trigger
from runwright.jobs.model import Attempt, Explanation, Job, JobError, JobLogs
from runwright.workers.model import RuntimeName, Worker, WorkerStatus

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

    id: str
    tenant_id: str
    name: str
    runtime: RuntimeName
    description: str | None
    status: WorkerStatus
    version: int
    entrypoint: str
    source_code: str | None
    config: dict[str, Any]
    secrets: list[str]
    timeout_seconds: int
    max_retries: int
    max_concurrency: int | None
    memory_mb: int
    network: Any
    created_by: str
    created_at: Time
    updated_at: Time


class JobWire(msgspec.Struct, frozen=True, kw_only=True):
    """A job."""

    id: str
    worker_id: str
    tenant_id: str
    status: JobStatus
    trigger: Trigger
    priority: int
    input: JsonObject
    triggered_by: str
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    duration_ms: int | None
    output: AnyJson
    error: JobError | None
    worker_version: int
    attempt: int
    max_retries: int
    scheduled_at: Time | None
    cancel_requested_at: Time | None
    retry_of: str | None
    schedule_id: str | None


class AttemptWire(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job."""

    attempt: int
    status: str
    worker_version: int
    executor_id: str | None
    started_at: Time | None
    completed_at: Time | None
    duration_ms: int | None
    error: JobError | None


class LogLineWire(msgspec.Struct, frozen=True):
    """One line of a job's log."""

    ts: Time
    level: str
    msg: str
    seq: int
    attempt: int


class JobLogsWire(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a job's log; `next_after` (where not null) continues it."""

    job_id: str
    job_status: JobStatus
    logs: list[LogLineWire]
    next_after: int | None


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


def time_wire(at: datetime) -> str:
    """Return a UTC time in the form of the wire."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def _time_or_none(at: datetime | None) -> str | None:
    return None if at is None else time_wire(at)


def worker_wire(worker: Worker) -> WorkerWire:
    values = {name: getattr(worker, name) for name in Worker.__struct_fields__}
    values |= {"created_at": time_wire(worker.created_at), "updated_at": time_wire(worker.updated_at)}
    return WorkerWire(**values)


def job_wire(job: Job) -> JobWire:
    return JobWire(
        id=job.id,
        worker_id=job.worker_id,
        tenant_id=job.tenant_id,
        status=job.status,
        trigger=job.trigger,
        priority=job.priority,
        input=job.input,
        triggered_by=job.triggered_by,
        created_at=time_wire(job.created_at),
        started_at=_time_or_none(job.started_at),
        completed_at=_time_or_none(job.completed_at),
        duration_ms=job.duration_ms,
        output=job.output,
        error=job.error,
        worker_version=job.worker_version,
        attempt=job.attempt,
        max_retries=job.max_retries,
        scheduled_at=_time_or_none(job.scheduled_at),
        cancel_requested_at=_time_or_none(job.cancel_requested_at),
        retry_of=job.retry_of,
        schedule_id=job.schedule_id,
    )


def attempt_wire(attempt: Attempt) -> AttemptWire:
    return AttemptWire(
        attempt=attempt.attempt,
        status=attempt.status,
        worker_version=attempt.worker_version,
        executor_id=attempt.executor_id,
        started_at=_time_or_none(attempt.started_at),
        completed_at=_time_or_none(attempt.completed_at),
        duration_ms=attempt.duration_ms,
        error=attempt.error,
    )


def logs_wire(logs: JobLogs) -> JobLogsWire:
    lines = [
        LogLineWire(time_wire(line.ts), line.level, line.msg, line.seq, line.attempt) for line in logs.logs
    ]
    return JobLogsWire(job_id=logs.job_id, job_status=logs.job_status, logs=lines, next_after=logs.next_after)


def explanation_wire(why: Explanation) -> ExplanationWire:
    reasons = [ReasonWire(reason.code, reason.message, reason.details) for reason in why.reasons]
    return ExplanationWire(job_id=why.job_id, status=why.status, summary=why.summary, reasons=reasons)
