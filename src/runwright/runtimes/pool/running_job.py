"""One assignment on its way through a sandbox, and the log it may write.

All that comes out of user code passes here: lines, output, message and stack. Where the assignment
has secrets, each is hidden before anything is cut to its limit.
"""

from datetime import datetime
from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode
from runwright.runtimes import protocol
from runwright.runtimes.model import Assignment, AttemptOutcome, OnLine, OutcomeStatus, OutputLine
from runwright.secrets.masking import Masker, Truncation

LEVELS: Final = ("info", "warn", "error")
_CUT: Final = " … (line cut)"
_encode = msgspec.json.Encoder().encode


class RunningJob:
    """One assignment: what was sent, when it began, what was asked of it, what it wrote."""

    __slots__ = (
        "_masker",
        "_on_line",
        "assignment",
        "began",
        "began_at",
        "cancelled",
        "deadline",
        "dropped",
        "frames",
        "log_bytes",
        "log_lines",
        "over",
        "token",
    )

    def __init__(self, assignment: Assignment, on_line: OnLine) -> None:
        self.assignment = assignment
        self.token = assignment.token
        self._on_line = on_line
        self._masker = assignment.masker
        if self._masker is None and assignment.secrets:
            self._masker = Masker(assignment.secrets.values())
        self.began_at: datetime | None = None
        self.began = 0.0
        self.deadline = 0.0
        self.cancelled = False
        self.over = False
        self.log_lines = 0
        self.log_bytes = 0
        self.dropped = 0
        self.frames = 0
        """Frames beside the begin and the end; honest ones are bounded by the limits of the log."""

    def messages(self) -> list[bytes]:
        """Return the messages that start this run."""
        a = self.assignment
        env = _encode(a.env | a.secrets if a.secrets else a.env) if a.env or a.secrets else b"{}"
        return protocol.messages(protocol.FrameKind.RUN, protocol.run_payload(env, a.input), a.token)

    def say(self, at: datetime, level: str, text: str) -> None:
        """Write a lifecycle line; these are not counted."""
        self._on_line(self.assignment, OutputLine(at, level, text))

    def write(self, at: datetime, level: str, data: bytes, truncation: Truncation | None = None) -> None:
        """Write what user code wrote, one line per line, within the limits of an attempt."""
        if self._masker is not None:
            if self.dropped or self.full():
                # What follows a dropped line is dropped as well: so no more is searched than is stored.
                self.dropped += data.count(b"\n") + 1
                return
            data = _hide(self._masker, data, truncation)
        for raw in data.split(b"\n"):
            size = len(raw)
            if self.full(size):
                self.dropped += 1
                continue
            self.log_lines += 1
            text = raw[: protocol.LINE_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
            if size > protocol.LINE_BYTES:
                text += _CUT
                size = protocol.LINE_BYTES
            self.log_bytes += size
            self._on_line(self.assignment, OutputLine(at, level, text))

    def full(self, size: int = 0) -> bool:
        """Tell whether a line of that size would pass the limits."""
        if self.log_lines >= protocol.LOG_LINES:
            return True
        return self.log_bytes + min(size, protocol.LINE_BYTES) > protocol.LOG_BYTES

    def milliseconds(self, at: datetime) -> int:
        """Return how long user code has run."""
        return 0 if self.began_at is None else round((at - self.began_at).total_seconds() * 1000)

    def clean(self, text: str, limit: int) -> str:
        """Return the text without secrets and NULs, cut to so many bytes of UTF-8 where it is longer."""
        data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
        over = len(data) > limit
        if self._masker is not None:
            # The harness cuts at the same limit, in characters: at it, the text may be cut already.
            data = self._masker.mask(data[:limit], Truncation.AT_LIMIT if len(data) >= limit else None)
        if not over:
            return data.decode("utf-8", "replace")
        return data[: limit - len("…".encode())].decode("utf-8", "ignore") + "…"

    def completed(self, at: datetime, output: bytes) -> AttemptOutcome:
        """Write the last lines of a run that completed and return its outcome."""
        if self._masker is not None:
            output = self._masker.mask_json(output)
        self._say_dropped(at)
        self._on_line(
            self.assignment, OutputLine(at, "info", f"Handler completed in {self.milliseconds(at)}ms")
        )
        return AttemptOutcome(
            status=OutcomeStatus.COMPLETED, output=output, started_at=self.began_at, ended_at=at
        )

    def failed(self, at: datetime, code: ErrorCode, message: str, stack: str | None = None) -> AttemptOutcome:
        """Write the last lines of a run that failed and return its outcome."""
        message = self.clean(message, protocol.ERROR_MESSAGE_BYTES)
        stack = None if stack is None else self.clean(stack, protocol.ERROR_STACK_BYTES)
        self._say_dropped(at)
        self.say(at, "error", f"Handler failed: {message}")
        return AttemptOutcome(
            status=OutcomeStatus.FAILED,
            error_code=code.value,
            error_message=message,
            error_stack=stack,
            started_at=self.began_at,
            ended_at=at,
        )

    def ended_by_cancel(self, at: datetime) -> AttemptOutcome:
        """Write the last lines of a run that was cancelled and return its outcome."""
        if self.began_at is not None:
            self._say_dropped(at)
            self.say(at, "warn", f"Handler cancelled after {self.milliseconds(at)}ms")
        return AttemptOutcome(
            status=OutcomeStatus.CANCELLED,
            error_code=ErrorCode.CANCELLED.value,
            error_message="The job was cancelled",
            started_at=self.began_at,
            ended_at=at,
        )

    def unstarted(self, at: datetime) -> AttemptOutcome:
        """Return the outcome of a run whose user code never began."""
        return AttemptOutcome(status=OutcomeStatus.UNSTARTED, ended_at=at)

    def _say_dropped(self, at: datetime) -> None:
        if self.dropped:
            self.say(at, "warn", f"dropped {self.dropped} lines")


def _hide(masker: Masker, data: bytes, truncation: Truncation | None) -> bytes:
    """Hide secrets in lines; those that are too long are cut, after hiding, and say so."""
    if len(data) > protocol.LINE_BYTES:
        data = b"\n".join(_hide_in_long(masker, line) for line in data.split(b"\n"))
    return masker.mask(data, truncation)


def _hide_in_long(masker: Masker, line: bytes) -> bytes:
    if len(line) <= protocol.LINE_BYTES:
        return line
    # Beyond the limit a line may have gaps, where nothing can be found.
    mark = _CUT.encode()
    return (
        masker.mask(line[: protocol.LINE_BYTES], Truncation.AT_LIMIT)[: protocol.LINE_BYTES - len(mark)]
        + mark
    )
