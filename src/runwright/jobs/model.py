"""A job as callers see it, with its attempts, its log and the reasons for its status."""

from datetime import datetime
from typing import Any, Final

import msgspec

from runwright.core.ids import JobId
from runwright.core.job_state import ErrorCode, JobStatus, Trigger

NULL: Final = msgspec.Raw(b"null")


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not complete; `stack` only where the handler raised."""

    code: ErrorCode
    message: str
    stack: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the API shows it. `input` and `output` are JSON text, passed on without decoding."""

    id: JobId
    worker_id: str
    tenant_id: str
    status: JobStatus
    trigger: Trigger
    priority: int
    input: msgspec.Raw
    triggered_by: str
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    output: msgspec.Raw = NULL
    error: JobError | None = None
    worker_version: int
    attempt: int
    max_retries: int
    cancel_requested_at: datetime | None = None
    retry_of: str | None
    schedule_id: str | None


class Idempotency(msgspec.Struct, frozen=True):
    """An `Idempotency-Key` and a digest of the body that came with it."""

    key: str
    body_digest: bytes


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to select; `created_*` bounds are inclusive. What is None selects all."""

    ids: frozenset[str] | None = None
    worker_id: str | None = None
    statuses: frozenset[JobStatus] | None = None
    trigger: Trigger | None = None
    schedule_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    error_code: ErrorCode | None = None
    """Only ended jobs have one, as the next two."""
    error_contains: str | None = None
    """Text in the message of the error, in either case."""
    min_duration_ms: int | None = None
    retried: bool | None = None
    """Whether the job was retried by a request."""


class JobAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job, ended or running."""

    attempt: int
    status: JobStatus
    worker_version: int
    executor_id: str | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    error: JobError | None


class LogLine(msgspec.Struct, frozen=True):
    """One line of a job's log; `seq` increases within the job and is the cursor of `after=`."""

    seq: int
    ts: datetime
    level: str
    msg: str
    attempt: int


class JobLogs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a job's log, oldest first."""

    job_id: str
    job_status: JobStatus
    logs: list[LogLine]
    next_after: int | None


class Reason(msgspec.Struct, frozen=True):
    """One reason for a job's status, for machines (`code`) and people (`message`)."""

    code: str
    message: str
    details: dict[str, Any] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job has its status; `summary` is the first reason's message."""

    job_id: str
    status: JobStatus
    summary: str
    reasons: list[Reason]
