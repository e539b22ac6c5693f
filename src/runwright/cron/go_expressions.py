"""Cron expressions with the syntax and the daylight saving rules of Go's `robfig/cron`.

Five fields: minute hour day month weekday. `*` and `?` mean any; lists, ranges, steps (`5/15` is
`5-59/15`), names of months and weekdays; Sunday is 0. There is no `@daily`, and no `L`, `W` or `#`.
Where day and weekday are both restricted a date matches by either; where one of them is `*` or `?`
it has to match both; `*/2` is a restriction. `TZ=Area/City ` or `CRON_TZ=Area/City ` in front names
the zone.

An expression fires at every instant whose local time matches. So a local time that does not exist is skipped,
and one that occurs twice fires twice. Automations follow this rule; the schedules of workers follow that of
`cron/timetable.py`, which neither loses nor repeats a firing.
"""

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from runwright.cron.expressions import FIELDS, LONGEST, Cron, CronError
from runwright.cron.timetable import Firing, Timetable
from runwright.cron.zones import UnknownZoneError, find_zone

_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S*)(?:\s+(.*))?", re.DOTALL)
_PART: Final = re.compile(r"(\*|\?|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?")
_EVERY: Final = re.compile(r"[*?](?:/0*1)?")
_ANY: Final = frozenset("*?")
_ANY_TIME: Final = datetime(2000, 1, 1)  # noqa: DTZ001  local times have no zone
_DAY: Final = timedelta(days=1)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(msgspec.Struct, frozen=True):
    """The range and the names of one of the five fields."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int:
        if text.lower() in self.names:
            return self.first + self.names.index(text.lower())
        if not text.isdigit() or not self.first <= (value := int(text)) <= self.last:
            raise CronError(f"bad {self.name} {text[:40]!r}: must be {self.first} to {self.last}")
        return value

    def plain(self, text: str) -> str:
        """Return the field as a list of numbers, or `*` if it restricts nothing."""
        parts = text.split(",")
        values = {value for part in parts for value in self._part(part)}
        return "*" if any(map(_EVERY.fullmatch, parts)) else ",".join(map(str, sorted(values)))

    def _part(self, part: str) -> range:
        found = _PART.fullmatch(part)
        if found is None or (found[2] and found[1] in _ANY) or (found[3] and not int(found[3])):
            raise CronError(f"bad {self.name} field {part[:40]!r}")
        if found[3] and int(found[3]) > self.last - self.first + 1:
            raise CronError(f"bad {self.name} field {part[:40]!r}: the step is larger than the field")
        every = found[1] in _ANY
        first = self.first if every else self.value(found[1])
        last = self.value(found[2]) if found[2] else self.last if found[3] or every else first
        if last < first:
            raise CronError(f"bad {self.name} field {part[:40]!r}: {first} is beyond {last}")
        return range(first, last + 1, int(found[3] or 1))


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)


class GoCron(Cron):
    """A well-formed expression of this dialect, without its zone, that matches some day."""

    def _parse(self, expression: str) -> CronSim:
        fields = expression.split()
        if len(fields) != FIELDS:
            raise CronError(f"expected exactly {FIELDS} fields, found {len(fields)}")
        plain = " ".join(field.plain(text) for field, text in zip(_FIELDS, fields, strict=True))
        try:
            # Both dialects agree on lists of numbers; only unrestricted fields begin with a star.
            return CronSim(plain, _ANY_TIME)
        except CronSimError:
            raise CronError("never matches: there is no such date") from None


class InstantTimetable(Timetable):
    """Every instant whose local time matches: skipped local times do not fire, repeated ones fire twice."""

    def firings_after(self, at: datetime) -> Iterator[Firing]:
        """Yield the firings after an instant, in their order."""
        start = self._local(at) - self._falls_back_by(at)
        ahead: list[tuple[datetime, datetime]] = []  # repeated local times, whose second instants interleave
        for local in self.cron.after(start):
            first, *again = self._instants(local)
            while ahead and ahead[0][0] < first:
                yield _repeated(*heapq.heappop(ahead))
            if not again and first > at:
                yield Firing(at=first, local=local)
            for instant in (first, *again) if again else ():
                if instant > at and _exists(instant, local, self.zone):
                    heapq.heappush(ahead, (instant, local))
        while ahead:
            yield _repeated(*heapq.heappop(ahead))

    def _instants(self, local: datetime) -> list[datetime]:
        """Return the instants of a local time in order: one, or two if it is repeated."""
        by_fold = {local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return sorted(by_fold)

    def _falls_back_by(self, at: datetime) -> timedelta:
        """Return how far the local clock is set back within the next day, where the search must begin."""
        return max(timedelta(), self._local(at) + _DAY - self._local(at + _DAY))


def _repeated(at: datetime, local: datetime) -> Firing:
    return Firing(at=at, local=local, repeated=True)


def _exists(instant: datetime, local: datetime, zone: ZoneInfo) -> bool:
    return instant.astimezone(zone).replace(tzinfo=None) == local


@lru_cache(maxsize=4096)
def go_timetable_of(expression: str, zone_name: str) -> Timetable:
    """Return the timetable, in the zone that the expression names or else in this one.

    Raises CronError if the expression or its zone is invalid, UnknownZoneError if the given zone is.
    """
    if len(expression) > LONGEST:
        raise CronError(f"must have at most {LONGEST} characters")
    zone = find_zone(zone_name)
    if expression.startswith(("TZ=", "CRON_TZ=")):
        found = _ZONE.fullmatch(expression)
        if found is None or not found[2]:
            raise CronError("a time zone must be followed by a space and five fields")
        try:
            zone, expression = find_zone(found[1]), found[2]
        except UnknownZoneError:
            raise CronError(f"unknown time zone {found[1][:60]}") from None
    return InstantTimetable(GoCron(expression), zone)
