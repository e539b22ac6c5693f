"""The outcomes of one job in the pool, as they are before secrets are masked in them."""

from datetime import datetime

from runwright.core.job_state import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus
from runwright.runtimes.pool.error_report import ErrorReport


class JobOutcomes:
    """Makes the outcomes of a job."""

    __slots__ = ()

    assignment: Assignment
    started_at: datetime | None
    ended_before_cancel: bool

    def failed(
        self, at: datetime | None, code: ErrorCode, message: str, stack: str | None = None
    ) -> AttemptOutcome:
        """Return the outcome of a failed job."""
        return AttemptOutcome(
            status=OutcomeStatus.FAILED,
            error_code=code.value,
            error_message=message,
            error_stack=stack,
            started_at=self.started_at,
            ended_at=at,
        )

    def ended_by_cancel(self, at: datetime) -> AttemptOutcome:
        """Return the outcome of a cancelled job."""
        return AttemptOutcome(
            status=OutcomeStatus.CANCELLED,
            error_code=ErrorCode.CANCELLED.value,
            error_message="The job was cancelled",
            started_at=self.started_at,
            ended_at=at,
        )

    def unstarted(self, at: datetime) -> AttemptOutcome:
        """Return the outcome of a job whose user code never began."""
        return AttemptOutcome(status=OutcomeStatus.UNSTARTED, ended_at=at)

    def reported(
        self, report: ErrorReport | None, payload: bytes, at: datetime, *, out_of_memory: bool
    ) -> AttemptOutcome:
        """Return the outcome of a job that has sent its last frame: an ERROR with a report, or a RESULT."""
        if self.ended_before_cancel:
            return self.ended_by_cancel(at)
        if report is None:
            return self.accept_output(payload, at)
        return self.fail(report, at, out_of_memory=out_of_memory)

    def accept_output(self, payload: bytes, at: datetime) -> AttemptOutcome:
        """Return the outcome of a RESULT frame: completed if its output is within the limit.

        Whether it is JSON shows when it is masked.
        """
        if len(payload) > protocol.OUTPUT_BYTES:
            text = f"The handler returned {len(payload)} bytes of JSON; the limit is {protocol.OUTPUT_BYTES}"
            return self.failed(at, ErrorCode.OUTPUT_TOO_LARGE, text)
        return AttemptOutcome(
            status=OutcomeStatus.COMPLETED, output=payload, started_at=self.started_at, ended_at=at
        )

    def fail(self, report: ErrorReport, at: datetime, *, out_of_memory: bool) -> AttemptOutcome:
        """Return the outcome of an ERROR frame; `out_of_memory` is what the kernel reports."""
        if out_of_memory and report.code is ErrorCode.HANDLER_ERROR:
            return self.out_of_memory(at, report)
        return self.failed(at, report.code, report.message, report.stack)

    def out_of_memory(self, at: datetime, report: ErrorReport | None = None) -> AttemptOutcome:
        """Return the outcome of a job that exceeded its memory limit, with what its harness reported."""
        text = f"The worker used more than its {self.assignment.code.memory_mb} MiB of memory"
        if report is None:
            return self.failed(at, ErrorCode.OUT_OF_MEMORY, text)
        return self.failed(at, ErrorCode.OUT_OF_MEMORY, f"{text} ({report.message})", report.stack)
