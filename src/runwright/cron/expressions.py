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

_ALPHABET: Final = re.compile(r"[0-9A-Za-z*/,#\- ]*", re.ASCII)
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
    fields = expression.split(" ") if _ALPHABET.fullmatch(expression) else []
    if len([field for field in fields if field]) != FIELDS:
        raise CronError("Must have five fields: minute hour day month weekday, for example 0 9 * * MON-FRI.")
    try:
        return CronSim(expression, _ANY_TIME)
    except CronSimError as error:
        raise CronError(_explain(str(error), expression)) from None


def _explain(error: str, expression: str) -> str:
    name = error.removeprefix("Bad ").replace("day-of-month", "day").replace("day-of-week", "weekday")
    if name == "day":
        with contextlib.suppress(CronSimError):  # the day is valid, so none of the months has it
            CronSim(f"0 0 {expression.split()[2]} * *", _ANY_TIME)
            return _NEVER
    return f"Has a bad {name} field."
