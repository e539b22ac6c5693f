"""When a cron expression fires in a time zone.

Daylight saving time: every matching local time fires once. A local time that does not exist (the clock is set
forward over it) fires at the next instant that does, when the clock is set forward; several such times fire
there once. A local time that occurs twice (the clock is set back) fires the first time only.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from runwright.cron.expressions import Cron
from runwright.cron.zones import find_zone

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """One firing: the instant, in UTC, and the local time (without its zone)."""

    at: datetime
    local: datetime
    skipped: bool = False
    """The local time does not exist; `at` is the next instant that does."""
    repeated: bool = False
    """The local time occurs twice; `at` is the first."""


class Timetable:
    """An expression in a zone. All instants are in UTC."""

    def __init__(self, cron: Cron, zone: ZoneInfo) -> None:
        self.cron = cron
        self.zone = zone
        self._asked: tuple[datetime, datetime | None] | None = None

    def next_after(self, at: datetime) -> datetime | None:
        """Return the first firing after an instant; None if there is none within fifty years."""
        # Thousands of schedules may share a timetable and ask for the same instant.
        if self._asked is None or self._asked[0] != at:
            self._asked = at, next((firing.at for firing in self.firings_after(at)), None)
        return self._asked[1]

    def firings_after(self, at: datetime) -> Iterator[Firing]:
        """Yield the firings after an instant in order."""
        # An earlier local time has no later instant, so the search may begin here.
        for local in self.cron.after(self._local(at)):
            firing = self._place(local)
            if firing.at > at:
                at = firing.at
                yield firing

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of firings after one instant and not after another.

        Of days without a clock change the firings are not enumerated: ten years take milliseconds.
        """
        total, at = 0, after
        while at < until:
            days, at = self._skip_regular_days(at, until)
            total += days * self.cron.per_day
            if at >= until:
                break
            day = self._local(at + _SECOND).date()
            end = self._starts(day + _DAY) - _SECOND
            if end <= at:  # midnight occurs twice, and this is between the two
                end = self._starts(day + 2 * _DAY) - _SECOND
            total += self._count_by_hours(at, min(end, until))
            at = end
        return total

    def _skip_regular_days(self, at: datetime, until: datetime) -> tuple[int, datetime]:
        """Return how many days match of those that begin after `at` and have no clock change, and their end.

        There are none unless a day begins a second after `at`.
        """
        midnight, days = self._local(at + _SECOND), 0
        offset = _offset(midnight.replace(tzinfo=self.zone))
        if midnight.time() != time() or not self._is_plain(midnight, offset):
            return 0, at
        while at + _DAY <= until and self._is_plain(midnight + _DAY, offset):
            days += self.cron.matches_day(midnight)
            midnight, at = midnight + _DAY, at + _DAY
        return days, at

    def _count_by_hours(self, after: datetime, until: datetime) -> int:
        """Count the firings of part of a day, or of one beside a clock change; hours around it are walked."""
        total, at = 0, after
        while at < until:
            local = self._local(at + _SECOND)
            end = at + _HOUR - timedelta(minutes=local.minute, seconds=local.second)
            offset = _offset(local.replace(tzinfo=self.zone))
            whole = end <= until and end - at == _HOUR
            if whole and self._is_plain(local, offset) and self._is_plain(local + _HOUR, offset):
                total += self.cron.per_hour if self.cron.matches_hour(local) else 0
            else:
                end = min(end, until)
                total += self._walk(at, end)
            at = end
        return total

    def _is_plain(self, local: datetime, offset: timedelta) -> bool:
        """Return whether this offset holds at a local time and before; neither is skipped or repeated."""
        before = local - _SECOND
        locals_ = (local, local.replace(fold=1), before, before.replace(fold=1))
        return all(self.zone.utcoffset(local) == offset for local in locals_)

    def _walk(self, after: datetime, until: datetime) -> int:
        total = 0
        for firing in self.firings_after(after):
            if firing.at > until:
                break
            total += 1
        return total

    def _starts(self, day: date) -> datetime:
        """Return the first instant of a local date."""
        return self._place(datetime(day.year, day.month, day.day)).at  # noqa: DTZ001  a local time

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _place(self, local: datetime) -> Firing:
        """Return the firing of a local time."""
        before = _offset(local.replace(tzinfo=self.zone))
        after = _offset(local.replace(tzinfo=self.zone, fold=1))
        at = (local - before).replace(tzinfo=UTC)
        if before < after:
            at = self._change_between((local - after).replace(tzinfo=UTC), at)
        return Firing(at=at, local=local, skipped=before < after, repeated=before > after)

    def _change_between(self, early: datetime, late: datetime) -> datetime:
        """Return the first second after `early` that has the offset of `late`."""
        new = late.astimezone(self.zone).utcoffset()
        while late - early > _SECOND:
            middle = early + (late - early) // 2 // _SECOND * _SECOND
            if middle.astimezone(self.zone).utcoffset() == new:
                late = middle
            else:
                early = middle
        return late


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None  # noqa: S101  it was given a zone
    return offset


@lru_cache(maxsize=4096)
def timetable_of(expression: str, zone_name: str) -> Timetable:
    """Return the timetable. Raises CronError, UnknownZoneError."""
    return Timetable(Cron(expression), find_zone(zone_name))
