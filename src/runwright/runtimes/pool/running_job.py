"""One job in the pool: its log, what it reports and asks for, and how it ends.

Everything that user code writes or returns passes through here and, for calls, `handler_calls.py`: log lines,
output, error message and stack. Secrets of the assignment are masked before anything is truncated to its
limit. That is done in the job's `TextQueue`, in order, so large texts are masked in a thread and the end of a
job comes last.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.core.json_text import is_json
from runwright.runtimes import protocol
from runwright.runtimes.handler_calls import NO_CALLS, CallReceiver, read_record, stored_json
from runwright.runtimes.model import (
    Assignment,
    AttemptOutcome,
    OnLine,
    OnOutcome,
    OutcomeStatus,
    OutputLine,
    RecordLine,
)
from runwright.runtimes.pool.handler_calls import HandlerCalls
from runwright.runtimes.pool.job_outcomes import JobOutcomes
from runwright.runtimes.pool.line_masker import TRUNCATED, LineMasker
from runwright.runtimes.pool.text_threads import TextThreads
from runwright.runtimes.pool.unfinished_lines import Pace, UnfinishedLines, settled
from runwright.secrets.escape_decoding import Rest, do_not_rest
from runwright.secrets.masking import MASK, Masker, Truncation

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


LINES_AT_ONCE: Final = 1_000
"""How many lines are stored in one step of the event loop."""
TEXT_BURST: Final = 1_000
TEXT_PER_SECOND: Final = 200
"""Bounds of TEXT frames, some times above those that the harnesses keep."""


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


def _unchanged(
    _level: str,
    data: bytes,
    _truncation: Truncation | None,
    _rest: Rest,
    *,
    before: bytes,  # noqa: ARG001
) -> bytes:
    """Return what has no secrets to mask, in place of `LineMasker.mask`."""
    return data


class RunningJob(JobOutcomes):
    """One assignment in the pool, from its acceptance to its outcome."""

    __slots__ = (
        "_calls",
        "_lines",
        "_masker",
        "_on_line",
        "_pace",
        "_queued_bytes",
        "_queued_lines",
        "_receiver",
        "_text_frames",
        "_texts",
        "_unfinished",
        "assignment",
        "cancelled",
        "dropped",
        "ended_before_cancel",
        "frames",
        "id",
        "log_bytes",
        "log_lines",
        "started",
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
        self._pace: Pace | None = None
        self._unfinished: UnfinishedLines | None = None
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

    def write(
        self,
        at: datetime,
        level: str,
        data: bytes,
        truncation: Truncation | None = None,
        *,
        before: bytes = b"",
    ) -> None:
        """Write output of user code, one log line per line, within the limits of an attempt.

        `before` is what was written already of the first line: a secret may begin there.
        """
        lines = data.count(b"\n") + 1
        if self._lines is None and lines <= LINES_AT_ONCE and self._texts.is_empty:
            self._store(at, level, data)
        elif self.dropped or self.log_is_full():
            # Lines after a dropped line are dropped too, so that no more is searched than is stored.
            self.dropped += lines
        else:
            while lines > LINES_AT_ONCE and not self.log_is_full():
                *first, data = data.split(b"\n", LINES_AT_ONCE)
                self._write_queued(at, level, b"\n".join(first), len(first), None, before)
                lines, before = lines - len(first), b""
            if lines > LINES_AT_ONCE:
                self.dropped += lines
            else:
                self._write_queued(at, level, data, lines, truncation, before)

    def take_text(self, at: datetime, stream: int, level: str, data: bytes) -> None:
        """Take output of which the last line may be unfinished."""
        if self._unfinished is None:
            self._unfinished = UnfinishedLines(self.write, self._bar_pace())
        self._unfinished.take(at, stream, level, data)

    def take_text_frame(self, at: datetime, level: str, data: bytes) -> str | None:
        """Take the content of a TEXT frame; see `JobLog`."""
        self._text_frames += 1
        if self._text_frames > TEXT_BURST + TEXT_PER_SECOND * (time.monotonic() - self.started):
            return "more unfinished lines than it may send"
        self.take_text(at, protocol.LEVELS.index(level), level, data)
        return None

    def end_lines(self, truncation: Truncation = Truncation.MID_LINE) -> None:
        """Write what is left of unfinished lines."""
        if self._unfinished is not None:
            self._unfinished.end(truncation)

    def _bar_pace(self) -> Pace:
        if self._pace is None:
            self._pace = Pace()
        return self._pace

    def _write_queued(
        self,
        at: datetime,
        level: str,
        data: bytes,
        lines: int,
        truncation: Truncation | None,
        before: bytes,
    ) -> None:
        mask = _unchanged if self._lines is None else self._lines.mask
        work = partial(mask, level, data, truncation, before=before)
        store = partial(self._store, at, level)
        self._queue(len(data), lines, work, store, MASK)

    def _queue(
        self,
        size: int,
        lines: int,
        work: Callable[[Rest], T],
        store: Callable[[T], None],
        otherwise: T,
    ) -> None:
        """Store lines when they are masked, and what was written before them is stored."""
        self._queued_bytes += size
        self._queued_lines += lines

        def then(masked: T) -> None:
            self._queued_bytes -= size
            self._queued_lines -= lines
            store(masked)

        self._texts.add(max(size, 4 * lines), work, then, otherwise=otherwise)

    def write_record(self, at: datetime, level: str, content: bytes) -> str | None:
        """Write a log line with fields, the content of a RECORD frame; see `JobLog`."""
        record = read_record(content)
        if isinstance(record, str):
            return record
        store = partial(self._store_record, at, level)
        if self._masker is None and self._texts.is_empty:
            store(record)
        elif self.dropped or self.log_is_full():
            self.dropped += 1
        else:
            work = partial(self._mask_record, level, *record)
            self._queue(len(content), 1, work, store, (MASK, b"{}"))
        return None

    def _mask_record(self, level: str, message: bytes, fields: bytes, rest: Rest) -> tuple[bytes, bytes]:
        if self._masker is None or self._lines is None:
            return message, fields
        masked = self._masker.mask_json(fields, rest=rest)
        return self._lines.mask(level, message, rest=rest), masked if masked.startswith(b"{") else b"{}"

    def _store_record(self, at: datetime, level: str, record: tuple[bytes, bytes]) -> None:
        """Store a line with fields; further lines of its message follow without, but not without end."""
        first, *more = record[0].split(b"\n", LINES_AT_ONCE)
        self._store_line(at, level, first, stored_json(record[1]))
        for raw in more[: LINES_AT_ONCE - 1]:
            self._store_line(at, level, raw)
        if len(more) == LINES_AT_ONCE:
            self.dropped += more[-1].count(b"\n") + 1

    def _store(self, at: datetime, level: str, data: bytes) -> None:
        for raw in data.split(b"\n"):
            if b"\r" in raw:
                for state in settled(raw, self._bar_pace()):
                    self._store_line(at, level, state)
            else:
                self._store_line(at, level, raw)

    def _store_line(self, at: datetime, level: str, raw: bytes, fields: bytes = b"") -> None:
        size = len(raw)
        if not self._has_room(size + len(fields)):
            self.dropped += 1
            return
        self.log_lines += 1
        text = raw[: protocol.LINE_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
        if size > protocol.LINE_BYTES:
            text += TRUNCATED
            size = protocol.LINE_BYTES
        self.log_bytes += size + len(fields)
        plain = not fields or fields == b"{}"
        line = OutputLine(at, level, text) if plain else RecordLine(at, level, text, msgspec.Raw(fields))
        self._on_line(self.assignment, line)

    def log_is_full(self) -> bool:
        """Return whether the log has reached its limits, with what waits to be masked."""
        lines, size = self.log_lines + self._queued_lines, self.log_bytes + self._queued_bytes
        return lines >= protocol.LOG_LINES or size >= protocol.LOG_BYTES

    def _has_room(self, size: int) -> bool:
        """Return whether a line of that size is within the limits."""
        if self.log_lines >= protocol.LOG_LINES:
            return False
        return self.log_bytes + min(size, protocol.LINE_BYTES) <= protocol.LOG_BYTES

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
        return 0 if self.started_at is None else round((at - self.started_at).total_seconds() * 1000)

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
