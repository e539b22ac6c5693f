"""What a job is, and what surrounds it."""

from datetime import datetime
from typing import Any

import msgspec

from runwright.core.job_state import ErrorCode, JobStatus, Trigger


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed; `stack` only where the handler raised."""

    code: ErrorCode
    message: str
    stack: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the API shows it. `input` and `output` are JSON text that is passed through."""

    id: str
    worker_id: str
    tenant_id: str
    status: JobStatus
    trigger: Trigger
    priority: int
    input: msgspec.Raw
    triggered_by: str
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    output: msgspec.Raw
    error: JobError | None
    worker_version: int
    attempt: int
    max_retries: int
    cancel_requested_at: datetime | None
    retry_of: str | None
    schedule_id: str | None = None


class Idempotency(msgspec.Struct, frozen=True):
    """An `Idempotency-Key` and a digest of the body that came with it."""

    key: str
    body_digest: bytes


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list; `created_*` bounds are inclusive."""

    worker_id: str | None = None
    status: JobStatus | None = None
    trigger: Trigger | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a job, over or under way."""

    attempt: int
    status: str
    worker_version: int
    executor_id: str | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    error: JobError | None


class LogLine(msgspec.Struct, frozen=True):
    """One line of a job's log; `seq` counts up within the job and is what `after=` takes."""

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
    """One reason why a job is where it is, for a machine (`code`) and a person (`message`)."""

    code: str
    message: str
    details: dict[str, Any] = {}


class JobEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, as its executor recorded it; `output` and `error` are JSON text."""

    status: JobStatus
    attempt: int
    worker_version: int
    started_at: datetime | None
    completed_at: datetime
    output: bytes | None
    error: bytes | None

    def applied_to(self, job: Job) -> Job:
        """Return the job as it is after this end."""
        started, completed = self.started_at, self.completed_at
        return msgspec.structs.replace(
            job,
            status=self.status,
            attempt=self.attempt,
            worker_version=self.worker_version,
            started_at=started,
            completed_at=completed,
            duration_ms=None if started is None else round((completed - started).total_seconds() * 1000),
            output=msgspec.Raw(self.output or b"null"),
            error=None if self.error is None else msgspec.json.decode(self.error, type=JobError),
        )


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is where it is."""

    job_id: str
    status: JobStatus
    summary: str
    reasons: list[Reason]
