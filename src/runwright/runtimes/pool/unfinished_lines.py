"""Lines of a job that no newline has ended yet: prompts, dots, progress bars.

A line is shown, as far as it goes, when nothing has ended it for `SHOW_SECONDS`; what follows is then a line
of its own. A carriage return ends a line too, but of the states of a progress bar only a few per second are
kept, and the last one. When the job ends, in whatever way, what is left is its last line.
"""

import asyncio
import time
from datetime import datetime
from typing import Final, Protocol

import msgspec

from runwright.runtimes.protocol import LINE_BYTES
from runwright.secrets.masking import Truncation

SHOW_SECONDS: Final = 0.5
STATES_AT_ONCE: Final = 4
STATES_PER_SECOND: Final = 2.0


class WriteLines(Protocol):
    """Writes whole lines of a job."""

    def __call__(
        self, at: datetime, level: str, data: bytes, truncation: Truncation | None = None, *, before: bytes
    ) -> None:
        """Write lines; `before` is the part of the first one that was written already."""


class _Line(msgspec.Struct):
    """The unfinished line of one stream."""

    level: str
    at: datetime
    text: bytes = b""
    shown: int = 0
    """How many bytes of it are written already."""
    state: bytes = b""
    """The last state of a progress bar that was not written."""
    before: bytes = b""
    """What of that state was written already."""

    @property
    def waits(self) -> bool:
        """Whether something of it is not written yet."""
        return len(self.text) > self.shown or bool(self.state)


class Pace:
    """A token bucket for the states of progress bars."""

    def __init__(self) -> None:
        self._tokens = float(STATES_AT_ONCE)
        self._refilled = time.monotonic()

    def take(self) -> bool:
        """Return whether one more may be written now."""
        now = time.monotonic()
        self._tokens = min(STATES_AT_ONCE, self._tokens + (now - self._refilled) * STATES_PER_SECOND)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class UnfinishedLines:
    """The unfinished lines of one job, by the number of their stream."""

    def __init__(self, write: WriteLines, pace: Pace) -> None:
        self._write = write
        self._pace = pace
        self._lines: dict[int, _Line] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, at: datetime, stream: int, level: str, data: bytes) -> None:
        """Write what is complete, and keep the rest."""
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = _Line(level, at)
        line.at = at
        head, newline, tail = (line.text + data).rpartition(b"\n")
        if newline:
            self._end(line, head)
        cut = tail.rfind(b"\r", 0, max(0, len(tail) - 1))
        if cut >= 0:
            self._take_states(line, tail[:cut])
        line.text = tail[cut + 1 : cut + 2 + LINE_BYTES]
        if line.waits and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SHOW_SECONDS, self._show)

    def _end(self, line: _Line, text: bytes) -> None:
        """Write the line that a newline has ended, and the whole ones after it."""
        first, more, rest = text.partition(b"\n")
        before, first = first[: line.shown], first[line.shown :]
        if not first.strip() and line.state:
            first, before = line.state, line.before
        if first.strip(b"\r") or not line.shown:
            self._write(line.at, line.level, first, before=before)
        if more:
            self._write(line.at, line.level, rest, before=b"")
        line.text, line.shown, line.state = b"", 0, b""

    def _take_states(self, line: _Line, text: bytes) -> None:
        shown, line.shown = line.shown, 0
        spans, last = _states(text[shown:], self._pace)
        if last is None:
            return
        for start, end in dict.fromkeys([*spans, last]):
            # The part of a line that was written already is the beginning of what is its first state now.
            begins = b"\r" not in text[shown : shown + start]
            line.state, line.before = text[shown + start : shown + end], text[:shown] if begins else b""
            if (start, end) in spans:
                self._write_state(line)

    def _write_state(self, line: _Line) -> None:
        self._write(line.at, line.level, line.state, before=line.before)
        line.state = b""

    def _show(self) -> None:
        """Write what waits, as far as the pace allows."""
        self._timer = None
        for line in self._lines.values():
            if line.waits and self._pace.take():
                self._write_rest(line, Truncation.MID_LINE)
        if any(line.waits for line in self._lines.values()):
            self._timer = asyncio.get_running_loop().call_later(SHOW_SECONDS, self._show)

    def _write_rest(self, line: _Line, truncation: Truncation) -> None:
        text = line.text[line.shown :].rstrip(b"\r")
        if text.strip():
            self._write(line.at, line.level, text, truncation, before=line.text[: line.shown])
        elif line.state:
            self._write_state(line)
        line.shown, line.state = len(line.text), b""

    def end(self, truncation: Truncation) -> None:
        """Write all that is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in self._lines.values():
            if line.waits:
                self._write_rest(line, truncation)
        self._lines.clear()


def settled(line: bytes, pace: Pace) -> list[bytes]:
    """Return what to keep of a whole line that has carriage returns: a few of its states, and the last."""
    last = _last_state(line)
    if last is None:
        return [b""]
    spans, _ = _states(line[: last[0]], pace)
    return [line[start:end] for start, end in (*spans, last)]


def _states(text: bytes, pace: Pace) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
    """Return where the first states are, as many as the pace allows, and where the last one is.

    The others are not looked at: a text may have some ten thousand.
    """
    spans: list[tuple[int, int]] = []
    last = _last_state(text)
    end = 0
    while last is not None and end < last[1] and pace.take():
        start, end = _first_state(text, end)
        spans.append((start, end))
    return spans, last


def _first_state(text: bytes, at: int) -> tuple[int, int]:
    """Return where the first state with something in it is; there is one after `at`."""
    filled = len(text) - len(text[at:].lstrip())
    end = text.find(b"\r", filled)
    return text.rfind(b"\r", at, filled) + 1 or at, len(text) if end < 0 else end


def _last_state(text: bytes) -> tuple[int, int] | None:
    """Return where the last state with something in it is."""
    filled = len(text.rstrip())
    if not filled:
        return None
    end = text.find(b"\r", filled)
    return text.rfind(b"\r", 0, filled) + 1, len(text) if end < 0 else end
