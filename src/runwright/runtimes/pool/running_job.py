"""One job in the pool: its log, what it reports and asks for, and how it ends.

Everything that user code writes or returns passes through here and, for calls, `handler_calls.py`: log lines,
output, error message and stack. Secrets of the assignment are masked before anything is truncated to its
limit. That is done in the job's `TextQueue`, in order, so large texts are masked in a thread and the end of a
job comes last.
"""

import time
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.core.json_text import is_json
from runwright.runtimes import protocol
from runwright.runtimes.handler_calls import NO_CALLS, CallReceiver
from runwright.runtimes.model import (
    Assignment,
    AttemptOutcome,
    OnLine,
    OnOutcome,
    OutcomeStatus,
    OutputLine,
)
from runwright.runtimes.pool.error_report import ErrorReport
from runwright.runtimes.pool.handler_calls import HandlerCalls
from runwright.runtimes.pool.job_log import JobLogLines
from runwright.runtimes.pool.line_masker import LineMasker
from runwright.runtimes.pool.text_threads import TextThreads
from runwright.secrets.escape_decoding import Rest, do_not_rest
from runwright.secrets.masking import Masker, Truncation

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class KillReason(msgspec.Struct, frozen=True):
    """Why a sandbox is killed, as its running job reports it."""

    code: ErrorCode
    message: str


class JobContext(msgspec.Struct, frozen=True):
    """What a handler may know of its job."""

    id: str
    attempt: int
    worker_id: str
    worker_name: str
    worker_version: int
    timeout_seconds: float


class RunningJob(JobLogLines):
    """One assignment in the pool, from its acceptance to its outcome."""

    __slots__ = (
        "_calls",
        "_receiver",
        "cancelled",
        "ended_before_cancel",
        "frames",
        "id",
        "started_at",
    )

    def __init__(
        self, assignment: Assignment, on_line: OnLine, threads: TextThreads, calls: CallReceiver = NO_CALLS
    ) -> None:
        self.assignment = assignment
        self.id = assignment.id
        self._on_line = on_line
        self._receiver = calls
        self._masker = assignment.masker
        if self._masker is None and assignment.secrets:
            self._masker = Masker(assignment.secrets.values())
        self._lines = None if self._masker is None else LineMasker(self._masker)
        self._texts = threads.queue(assignment.code.tenant_id)
        self._queued_bytes = self._queued_lines = self._text_frames = 0
        self._pace = self._unfinished = None
        self.started_at: datetime | None = None
        """When its user code began; `started` is the same moment on the loop's clock."""
        self.started = 0.0
        self.cancelled = False
        self.ended_before_cancel = False
        self.log_lines = 0
        self.log_bytes = 0
        self.dropped = 0
        self.frames = 0
        """Frames between the first and the last; an honest harness is bounded by the limits of the log."""
        self._calls: HandlerCalls | None = None

    def messages(self) -> list[bytes]:
        """Return the messages that start this job."""
        a = self.assignment
        env = _encode(a.env | a.secrets if a.secrets else a.env) if a.env or a.secrets else b"{}"
        context = JobContext(
            a.job_id, a.attempt, a.code.worker_id, a.worker_name, a.code.version, a.timeout_seconds
        )
        payload = protocol.run_payload(env, a.input, _encode(context))
        return protocol.messages(protocol.FrameKind.RUN, payload, a.id)

    def log_event(self, at: datetime, level: str, text: str) -> None:
        """Write a lifecycle line, which does not count against the limits."""
        self._on_line(self.assignment, OutputLine(at, level, text))

    def end_lines(self, truncation: Truncation = Truncation.MID_LINE) -> None:
        """Write what is left of unfinished lines."""
        if self._unfinished is not None:
            self._unfinished.end(truncation)

    @property
    def calls(self) -> "HandlerCalls":
        """What it reports and asks for."""
        if self._calls is None:
            self._calls = HandlerCalls(self.assignment, self._receiver, self._masker, self._texts)
        return self._calls

    @property
    def asked(self) -> bool:
        """Whether it has made a request."""
        return self._calls is not None and self._calls.asked

    @property
    def asking(self) -> bool:
        """Whether it waits for the answer to a request."""
        return self._calls is not None and self._calls.asking

    def take_progress(self, content: bytes) -> str | None:
        """Report how far it is; see `JobLog`."""
        return self.calls.take_progress(content, time.monotonic() - self.started)

    def milliseconds(self, at: datetime) -> int:
        """Return how long user code has run."""
        started_at = self.started_at or at
        return max(0, round((at - started_at).total_seconds() * 1000))

    def finish(self, outcome: AttemptOutcome, on_outcome: OnOutcome) -> None:
        """Mask what the outcome holds, write the last log lines, then report the outcome."""
        size = len(outcome.output or b"")
        if self._masker is None and size <= protocol.CHUNK_BYTES and self._texts.is_empty:
            self._end(on_outcome, self._readable(outcome))
            return
        self._texts.add(
            size + len(outcome.error_message) + len(outcome.error_stack or ""),
            partial(self._readable, outcome),
            partial(self._end, on_outcome),
            otherwise=self.failed(outcome.ended_at, ErrorCode.HANDLER_ERROR, "The output cannot be read"),
        )

    def _readable(self, outcome: AttemptOutcome, rest: Rest = do_not_rest) -> AttemptOutcome:
        """Return the outcome as it may be shown: without secrets, and with an output that is JSON."""
        output = outcome.output
        if output is not None:
            if output != b"null" and not is_json(output):
                text = "The handler's output is not valid JSON"
                return self.failed(outcome.ended_at, ErrorCode.HANDLER_ERROR, text)
            if self._masker is None:
                return outcome
            return msgspec.structs.replace(outcome, output=self._masker.mask_json(output, rest=rest))
        if outcome.status is not OutcomeStatus.FAILED:
            return outcome
        stack = outcome.error_stack
        return msgspec.structs.replace(
            outcome,
            error_message=self._clean(outcome.error_message, protocol.ERROR_MESSAGE_BYTES, rest),
            error_stack=None if stack is None else self._clean(stack, protocol.ERROR_STACK_BYTES, rest),
        )

    def _clean(self, text: str, limit: int, rest: Rest) -> str:
        """Return the text without secrets and NULs, truncated to `limit` bytes of UTF-8."""
        data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
        over = len(data) > limit
        if self._masker is not None:
            # The harness truncates at the same limit, in characters: a text of that size may be truncated.
            truncation = Truncation.AT_LIMIT if len(data) >= limit else None
            data = self._masker.mask(data[:limit], truncation, rest=rest)
        if not over:
            return data.decode("utf-8", "replace")
        return data[: limit - len("…".encode())].decode("utf-8", "ignore") + "…"

    def _end(self, on_outcome: OnOutcome, outcome: AttemptOutcome) -> None:
        at = outcome.ended_at
        if at is not None and (outcome.status is OutcomeStatus.FAILED or self.started_at is not None):
            self._write_end(outcome, at)
        on_outcome(self.assignment, outcome)

    def _write_end(self, outcome: AttemptOutcome, at: datetime) -> None:
        if outcome.status is not OutcomeStatus.UNSTARTED and self.dropped:
            self.log_event(at, "warn", f"dropped {self.dropped} lines")
        if outcome.status is OutcomeStatus.COMPLETED:
            self.log_event(at, "info", f"Handler completed in {self.milliseconds(at)}ms")
        elif outcome.status is OutcomeStatus.FAILED:
            self.log_event(at, "error", f"Handler failed: {outcome.error_message}")
        elif outcome.status is OutcomeStatus.CANCELLED:
            self.log_event(at, "warn", f"Handler cancelled after {self.milliseconds(at)}ms")

    # Outcomes before they are masked; `finish` reports them.

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
