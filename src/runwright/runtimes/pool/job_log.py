"""The log of one job in the pool: lines within the limits of an attempt, masked, stored in order."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import msgspec

from runwright.runtimes import protocol
from runwright.runtimes.handler_calls import read_record, stored_json
from runwright.runtimes.model import Assignment, OnLine, OutputLine, RecordLine
from runwright.runtimes.pool.line_masker import TRUNCATED, LineMasker
from runwright.runtimes.pool.text_threads import TextQueue
from runwright.runtimes.pool.unfinished_lines import Pace, UnfinishedLines, settled
from runwright.secrets.escape_decoding import Rest
from runwright.secrets.masking import MASK, Masker, Truncation

T = TypeVar("T")

LINES_AT_ONCE: Final = 1_000
"""How many lines are stored in one step of the event loop."""
TEXT_BURST: Final = 1_000
TEXT_PER_SECOND: Final = 200
"""Bounds of TEXT frames, some times above those that the harnesses keep."""


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


class JobLogLines:
    """Writes the lines of a job."""

    __slots__ = (
        "_lines",
        "_masker",
        "_on_line",
        "_pace",
        "_queued_bytes",
        "_queued_lines",
        "_text_frames",
        "_texts",
        "_unfinished",
        "assignment",
        "dropped",
        "log_bytes",
        "log_lines",
        "started",
    )

    assignment: Assignment
    started: float
    dropped: int
    log_lines: int
    log_bytes: int
    _on_line: OnLine
    _masker: Masker | None
    _lines: LineMasker | None
    _texts: TextQueue
    _queued_bytes: int
    _queued_lines: int
    _text_frames: int
    _pace: Pace | None
    _unfinished: UnfinishedLines | None

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
        if self._lines is None and self._texts.takes_lines_now(lines):
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
        lines = record[0].count(b"\n") + 1
        if self._masker is None and self._texts.takes_lines_now(lines):
            store(record)
        elif self.dropped or self.log_is_full():
            self.dropped += lines
        else:
            work = partial(self._mask_record, level, *record)
            self._queue(len(content), lines, work, store, (MASK, b"{}"))
        return None

    def _mask_record(self, level: str, message: bytes, fields: bytes, rest: Rest) -> tuple[bytes, bytes]:
        if self._masker is None or self._lines is None:
            return message, fields
        masked = self._masker.mask_json(fields, rest=rest)
        # The harness truncates the whole message at the limit of a line, not each of its lines.
        truncation = Truncation.AT_LIMIT if len(message) > protocol.LINE_BYTES else None
        text = self._lines.mask(level, message, truncation, rest)
        return text, masked if masked.startswith(b"{") else b"{}"

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
