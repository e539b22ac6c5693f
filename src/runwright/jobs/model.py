"""A job as callers see it, and its attempts as executors hold them.

A `ClaimedAttempt` collects the log lines of its job and becomes one `AttemptEnd`. The numbers of
lines grow with the fence, so the lines of a later attempt come after those of an earlier one.
"""

import random
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import NO_RETRY, ErrorCode, JobStatus, Trigger
from runwright.core.retry import backoff_seconds
from runwright.runtimes.model import AttemptOutcome, OutcomeStatus, OutputLine

NULL: Final = msgspec.Raw(b"null")
LINES_PER_FENCE: Final = 1_000_000


class JobError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt did not complete; `stack` only where the handler raised."""

    code: ErrorCode
    message: str
    stack: str | None = None


class JobProgress(msgspec.Struct, frozen=True):
    """How far an attempt is, as it reported last: from 0 to 1, what it does, or both."""

    fraction: float | None
    message: str | None
    updated_at: datetime


class LiveState(msgspec.Struct, frozen=True):
    """Where a job is, and how far its latest attempt."""

    status: JobStatus
    progress: JobProgress | None


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
    worker_name: str | None = None
    """The name that its worker has now."""
    retried_as: str | None = None
    """The latest job that repeats it by request."""
    parent_job_id: str | None = None
    progress: JobProgress | None = None
    """Of the latest attempt."""
    left_out: int = 0
    """How many bytes input and output may have, where a list is without them because they are large."""


_UNSTORABLE: Final = msgspec.json.encode(
    JobError(ErrorCode.HANDLER_ERROR, "The database cannot store the result of this attempt.")
)


CHUNK_BYTES: Final = 128 * 1024
"""What one chunk of log lines holds, or one line more: it is encoded, stored and read in one step."""


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive log lines of one attempt; `lines` is a JSON array of [ts, level, msg] or with fields."""

    tenant_id: str
    job_id: JobId
    fence: int
    attempt: int
    first_seq: int
    last_seq: int
    lines: bytes


class ProgressReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far an attempt is. The order of the fields is that of the statement's columns."""

    tenant_id: str
    job_id: JobId
    fence: int
    attempt: int
    fraction: float | None
    message: str | None
    at: datetime


AttemptPart: TypeAlias = LogChunk | ProgressReport
"""What is recorded of an attempt while it runs."""


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a claimed attempt ended; `output` and `error` are JSON text.

    The status is the one that the job gets, except where `retry_at` asks for another attempt.
    QUEUED hands the job back: its user code never began, and the attempt does not count.
    """

    tenant_id: str
    job_id: JobId
    fence: int
    attempt: int
    worker_version: int
    status: JobStatus
    ended_at: datetime
    started_at: datetime | None = None
    output: bytes | None = None
    error: bytes | None = None
    retry_at: datetime | None = None
    log: LogChunk | None = None
    """The last lines, stored together with the end."""
    progress: JobProgress | None = None
    """What it reported last, which is stored before."""
    unstorable: bool = False
    """Whether it replaces an end that the database can never store."""

    def as_unstorable(self) -> "AttemptEnd":
        """Return the failure that the job gets in place of this end."""
        return msgspec.structs.replace(
            self,
            status=JobStatus.FAILED,
            output=None,
            error=_UNSTORABLE,
            retry_at=None,
            log=None,
            unstorable=True,
        )

    @property
    def run_seconds(self) -> float | None:
        """How long user code ran; None where it never began."""
        return None if self.started_at is None else (self.ended_at - self.started_at).total_seconds()

    def applied_to(self, job: Job) -> Job:
        """Return the job as it is after this end."""
        return msgspec.structs.replace(
            job,
            status=self.status,
            attempt=self.attempt,
            worker_version=self.worker_version,
            started_at=self.started_at,
            completed_at=self.ended_at,
            duration_ms=None if self.run_seconds is None else round(self.run_seconds * 1000),
            output=msgspec.Raw(self.output or b"null"),
            error=None if self.error is None else msgspec.json.decode(self.error, type=JobError),
            progress=self.progress,
        )


class CallCounts(msgspec.Struct):
    """What a running attempt has asked for, and the calls that it may make at once."""

    tokens: float
    refilled_at: float
    events: int = 0
    jobs: int = 0


class ClaimedAttempt(msgspec.Struct, kw_only=True, eq=False):
    """An attempt that an executor holds: what it needs to run, and what has happened so far."""

    tenant_id: str
    job_id: JobId
    worker_id: WorkerId
    worker_version: int
    worker_revision: int
    attempt: int
    retries_left: int
    fence: int
    input: bytes
    awaited: bool
    """Whether a request, perhaps of another process, waits for the result."""
    pinned_version: int | None = None
    """The version that it runs where that is not the one that serves."""
    due_at: datetime | None = None
    started_at: datetime | None = None
    cancelling: bool = False
    lines: list[OutputLine] = []
    """Log lines that no chunk has taken yet."""
    lines_bytes: int = 0
    lines_taken: int = 0
    calls: CallCounts | None = None
    progress: JobProgress | None = None
    progress_is_new: bool = False
    """Whether no report has taken it yet."""

    @property
    def wait_seconds(self) -> float | None:
        """How long it had been due when user code began; None where that never happened."""
        if self.started_at is None or self.due_at is None:
            return None
        return max((self.started_at - self.due_at).total_seconds(), 0.0)

    def report(self, fraction: float | None, message: str | None, at: datetime) -> None:
        """Replace the progress."""
        self.progress, self.progress_is_new = JobProgress(fraction, message, at), True

    def take_progress(self) -> ProgressReport | None:
        """Return the progress if it is new."""
        progress = self.progress
        if progress is None or not self.progress_is_new:
            return None
        self.progress_is_new = False
        return ProgressReport(
            tenant_id=self.tenant_id,
            job_id=self.job_id,
            fence=self.fence,
            attempt=self.attempt,
            fraction=progress.fraction,
            message=progress.message,
            at=progress.updated_at,
        )

    def add_line(self, line: OutputLine) -> LogChunk | None:
        """Keep a log line; return a chunk with those that were kept where it is large enough."""
        self.lines.append(line)
        self.lines_bytes += len(line.msg)
        return self.take_log() if self.lines_bytes >= CHUNK_BYTES else None

    def take_log(self) -> LogChunk | None:
        """Return the lines since the last chunk, or None where there are none."""
        if not self.lines:
            return None
        lines, self.lines, self.lines_bytes = self.lines, [], 0
        first = self.fence * LINES_PER_FENCE + self.lines_taken + 1
        self.lines_taken += len(lines)
        return LogChunk(
            tenant_id=self.tenant_id,
            job_id=self.job_id,
            fence=self.fence,
            attempt=self.attempt,
            first_seq=first,
            last_seq=first + len(lines) - 1,
            lines=msgspec.json.encode(lines),
        )

    def end(self, outcome: AttemptOutcome, *, now: datetime) -> AttemptEnd:
        """Turn the sandbox's outcome into what is stored, with another attempt where one is due."""
        ended_at = outcome.ended_at or now
        error = None
        retry_at = None
        if outcome.status is OutcomeStatus.FAILED or outcome.status is OutcomeStatus.CANCELLED:
            code = ErrorCode(outcome.error_code or ErrorCode.HANDLER_ERROR)
            error = msgspec.json.encode(JobError(code, outcome.error_message, outcome.error_stack))
            if outcome.status is OutcomeStatus.FAILED and code not in NO_RETRY and self.retries_left > 0:
                retry_at = ended_at
                if code is not ErrorCode.EXECUTOR_LOST:
                    seconds = backoff_seconds(self.attempt, random.random())  # noqa: S311  jitter
                    retry_at += timedelta(seconds=seconds)
        return AttemptEnd(
            tenant_id=self.tenant_id,
            job_id=self.job_id,
            fence=self.fence,
            attempt=self.attempt,
            worker_version=self.worker_version,
            status=_STATUS[outcome.status],
            started_at=outcome.started_at or self.started_at,
            ended_at=ended_at,
            output=outcome.output,
            error=error,
            retry_at=retry_at,
            log=self.take_log(),
            progress=self.progress,
        )


_STATUS: Final = {
    OutcomeStatus.COMPLETED: JobStatus.COMPLETED,
    OutcomeStatus.FAILED: JobStatus.FAILED,
    OutcomeStatus.CANCELLED: JobStatus.CANCELLED,
    OutcomeStatus.UNSTARTED: JobStatus.QUEUED,
}
