"""The attempts that an executor holds: from claimed to recorded.

An attempt collects its log lines and becomes one `Ending`. Line numbers grow with the fence,
so that the lines of a later attempt come after those of an earlier one.
"""

import random
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.core.job_state import NO_RETRY, ErrorCode, JobStatus
from runwright.core.retry import backoff_seconds
from runwright.jobs.model import JobEnd, JobError
from runwright.jobs.store.claim import ClaimedJob
from runwright.jobs.store.finish import Ending, LogChunk
from runwright.runtimes.model import AttemptOutcome, OutcomeStatus, OutputLine

LINES_PER_FENCE: Final = 1_000_000


class ClaimedAttempt:
    """One claimed attempt in this executor."""

    __slots__ = ("_lines", "_next_seq", "cancelling", "job", "started_at")

    def __init__(self, job: ClaimedJob) -> None:
        self.job = job
        self.started_at: datetime | None = None
        self.cancelling = False
        self._lines: list[OutputLine] = []
        self._next_seq = job.fence * LINES_PER_FENCE + 1

    def add_line(self, line: OutputLine) -> None:
        """Keep a log line until the next chunk is taken."""
        self._lines.append(line)

    def take_chunk(self) -> LogChunk | None:
        """Return the lines since the last chunk, or None where there are none."""
        if not self._lines:
            return None
        lines, self._lines = self._lines, []
        first = self._next_seq
        self._next_seq += len(lines)
        return LogChunk(
            tenant_id=self.job.tenant_id,
            job_id=self.job.job_id,
            fence=self.job.fence,
            attempt=self.job.attempt,
            first_seq=first,
            last_seq=self._next_seq - 1,
            lines=msgspec.json.encode(lines),
        )

    def ending(self, outcome: AttemptOutcome, *, now: datetime) -> Ending:
        """Turn the sandbox's outcome into what is to be stored, with another attempt where one is due."""
        ended_at = outcome.ended_at or now
        error = None
        retry_at = None
        if outcome.status is not OutcomeStatus.COMPLETED:
            code = ErrorCode(outcome.error_code or ErrorCode.HANDLER_ERROR)
            error = msgspec.json.encode(JobError(code, outcome.error_message, outcome.error_stack))
            if outcome.status is OutcomeStatus.FAILED and code not in NO_RETRY and self.job.retries_left > 0:
                retry_at = ended_at
                if code is not ErrorCode.EXECUTOR_LOST:
                    seconds = backoff_seconds(self.job.attempt, random.random())  # noqa: S311  jitter
                    retry_at += timedelta(seconds=seconds)
        return Ending(
            tenant_id=self.job.tenant_id,
            job_id=self.job.job_id,
            fence=self.job.fence,
            status=_STATUS[outcome.status],
            started_at=outcome.started_at or self.started_at,
            ended_at=ended_at,
            output=outcome.output,
            error=error,
            retry_at=retry_at,
            chunk=self.take_chunk(),
        )

    def end(self, ending: Ending) -> JobEnd:
        """Return how the job ended, for those who wait for it in this process."""
        return JobEnd(
            status=JobStatus(ending.status),
            attempt=self.job.attempt,
            worker_version=self.job.worker_version,
            started_at=ending.started_at,
            completed_at=ending.ended_at,
            output=ending.output,
            error=ending.error,
        )


_STATUS: Final = {
    OutcomeStatus.COMPLETED: JobStatus.COMPLETED,
    OutcomeStatus.FAILED: JobStatus.FAILED,
    OutcomeStatus.CANCELLED: JobStatus.CANCELLED,
}
