"""Positions in the event log: where a reader is, and up to where the log is complete.

Positions are taken from a sequence before their transactions commit, so an event may appear below others
that were read before. The log is *settled* up to a position when no transaction that is still open can have
taken a position at or below it. A reader has seen everything that is settled, and some events above.
"""

import re
from collections import deque
from typing import Final

import msgspec

MOST_ABOVE: Final = 32
"""How many events above the settled part a position lists; the oldest are left out, and read again."""

SLACK_SECONDS: Final = 1.0
"""A position may be taken from the sequence a moment before its transaction gets its number."""

_MARK_SECONDS: Final = 0.25
_MOST_MARKS: Final = 256
_FORM: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,18})((?:\.[0-9]{1,9}){0,32})", re.ASCII)


class LogPosition(msgspec.Struct, frozen=True):
    """What a reader has seen: all that is settled, and the listed events above it.

    `epoch` identifies the time during which the log has been complete for the tenant.
    """

    epoch: int
    settled: int
    above: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Return the position as the id of a server-sent event."""
        return f"{self.epoch}-{self.settled}" + "".join(f".{one - self.settled}" for one in self.above)


def parse_position(text: str) -> LogPosition | None:
    """Return the position with this text; None if it is none."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    settled = int(match[2])
    above = tuple(settled + int(one) for one in match[3].split(".")[1:])
    return LogPosition(int(match[1]), settled, above)


class LogSnapshot(msgspec.Struct, frozen=True):
    """The state of the log at a moment, before the events are read."""

    oldest: int
    """The number of the oldest transaction that is open; all below have ended."""
    last: int
    """The last position that was taken."""
    number: int | None
    """A number above those of all transactions so far, if it was asked for: getting one uses it up."""


class _Mark(msgspec.Struct):
    """A position. What is at or below it belongs to transactions with numbers below `number`."""

    position: int
    at: float
    number: int | None = None


class LogHorizon:
    """Finds up to which position the log is settled."""

    def __init__(self, settled: int) -> None:
        self.settled = settled
        self._marks: deque[_Mark] = deque()

    def needs_number(self, now: float) -> bool:
        """Return whether the next snapshot must have a number."""
        return any(mark.number is None and now - mark.at >= SLACK_SECONDS for mark in self._marks)

    def observe(self, snapshot: LogSnapshot, now: float) -> None:
        """Take account of a snapshot; to be called after the events that followed it have been read."""
        while self._marks and (number := self._marks[0].number) is not None and number <= snapshot.oldest:
            self.settled = max(self.settled, self._marks.popleft().position)
        for mark in self._marks:
            if mark.number is None and now - mark.at >= SLACK_SECONDS:
                mark.number = snapshot.number
        newest = self._marks[-1] if self._marks else _Mark(self.settled, now - _MARK_SECONDS)
        due = now - newest.at >= _MARK_SECONDS and len(self._marks) < _MOST_MARKS
        if due and snapshot.last > newest.position:
            self._marks.append(_Mark(snapshot.last, now))
