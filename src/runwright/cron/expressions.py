"""Cron expressions: five fields, minute hour day month weekday, in any order of local times.

The grammar is that of Debian's cron as `cronsim` reads it: lists, ranges, steps, names of months
and weekdays, Sunday as 0 or 7, and also `L` (last day of the month), `LW` (its last working day),
`5L` (its last Friday) and `5#2` (its second Friday). Where day and weekday are both restricted a
date matches by either; where one begins with `*` it has to match both.

An expression has local times only. `cron/timetable.py` handles those that a zone skips or repeats.
"""

import contextlib
import copy
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

from cronsim import CronSim, CronSimError

LONGEST: Final = 200
FIELDS: Final = 5

_FOREIGN: Final = re.compile(r"[^0-9A-Za-z*/,#\-\s]|[^\x00-\x7f]")
_STEPPED: Final = re.compile(r"(?:([0-9A-Z]+)-([0-9A-Z]+)|[^/]*)/([0-9]+)", re.ASCII)
_SIZES: Final = {"minute": 60, "hour": 24, "day": 31, "month": 12, "weekday": 7}
_NAMES: Final = {
    name: str(number)
    for names in ("- JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", "SUN MON TUE WED THU FRI SAT")
    for number, name in enumerate(names.split())
}
_NEVER: Final = "Never matches: there is no such date."
_ANY_TIME: Final = datetime(2000, 1, 1)  # noqa: DTZ001  local times have no zone


class CronError(ValueError):
    """The expression is malformed or never matches; the message is for its author."""


class Cron:
    """A well-formed expression that matches some day."""

    def __init__(self, expression: str) -> None:
        """Raises CronError if the expression is malformed or matches nothing within fifty years."""
        self.expression = expression
        self._rules = self._parse(expression)
        if next(self.after(_ANY_TIME), None) is None:
            raise CronError(_NEVER)

    def _parse(self, expression: str) -> CronSim:
        return _parse(expression)

    @property
    def per_day(self) -> int:
        """The number of matching local times on a matching day."""
        return len(self._rules.hours) * len(self._rules.minutes)

    @property
    def per_hour(self) -> int:
        """The number of matching local times in a matching hour."""
        return len(self._rules.minutes)

    def matches_hour(self, local: datetime) -> bool:
        """Return whether local times of this date and hour match."""
        return local.hour in self._rules.hours and self.matches_day(local)

    def matches_day(self, day: date) -> bool:
        """Return whether local times of this date match."""
        return day.month in self._rules.months and bool(self._rules.match_day(day))

    def after(self, local: datetime) -> Iterator[datetime]:
        """Yield the matching local times after this one, which has no zone, to the minute."""
        rules = copy.copy(self._rules)
        rules.dt = local.replace(microsecond=0)
        return rules


def _parse(expression: str) -> CronSim:
    if len(expression) > LONGEST:
        raise CronError(f"Must have at most {LONGEST} characters.")
    if foreign := _FOREIGN.search(expression):
        raise CronError(f"Must not contain {foreign[0]!r}; use numbers, names, and * , - / # L W.")
    fields = expression.upper().split()
    if len(fields) != FIELDS:
        raise CronError("Must have five fields: minute hour day month weekday, for example 0 9 * * MON-FRI.")
    plain = " ".join(map(_plain_field, _SIZES, fields))
    try:
        return CronSim(plain, _ANY_TIME)
    except CronSimError as error:
        raise CronError(_explain(str(error), plain)) from None


def _plain_field(name: str, field: str) -> str:
    """Return a field without steps over a single value, which CronSim takes for `9/1`: from 9 on."""
    return ",".join(_plain_part(name, part) for part in field.split(","))


def _plain_part(name: str, part: str) -> str:
    found = _STEPPED.fullmatch(part)
    if found is None:
        return part
    if part.startswith("L"):  # CronSim ignores the step
        raise CronError(f"Has a bad {name} field.")
    if int(found[3]) > _SIZES[name]:
        raise CronError(f"Has a bad {name} field: a step of {found[3]} is larger than the field.")
    first, last = (_NAMES.get(end or "", end) for end in (found[1], found[2]))
    if first and last and first.isdigit() and last.isdigit() and int(first) == int(last):
        return first if int(found[3]) else part
    return part


def _explain(error: str, expression: str) -> str:
    name = error.removeprefix("Bad ").replace("day-of-month", "day").replace("day-of-week", "weekday")
    if name == "day":
        with contextlib.suppress(CronSimError):  # the day is valid, so none of the months has it
            CronSim(f"0 0 {expression.split()[2]} * *", _ANY_TIME)
            return _NEVER
    return f"Has a bad {name} field."
