"""A plain model of the contract, which shares nothing with the code that it checks.

It walks through time minute by minute with a clock hand that only moves forward: where the local
clock jumps ahead the hand sweeps over what was skipped, where it is put back the hand waits. A
firing is a minute in which the hand met a local time that the expression matches.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


class PlainCron:
    """Sets of numbers, and the rule of Debian's cron for days."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.minutes = _numbers(minute, 0, 59)
        self.hours = _numbers(hour, 0, 23)
        self.days = _numbers(day, 1, 31)
        self.months = _numbers(month, 1, 12)
        self.weekdays = {number % 7 for number in _numbers(weekday, 0, 7)}
        self.both = day.startswith("*") or weekday.startswith("*")

    def matches(self, local: datetime) -> bool:
        day = local.day in self.days
        weekday = local.isoweekday() % 7 in self.weekdays
        return (
            local.minute in self.minutes
            and local.hour in self.hours
            and local.month in self.months
            and ((day and weekday) if self.both else (day or weekday))
        )


def _numbers(field: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        elif last:
            begin, end = int(first), int(last)
        else:
            begin, end = int(first), high if step else int(first)
        numbers |= set(range(begin, end + 1, int(step or 1)))
    return numbers


def plain_firings(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the firings after one whole minute up to another."""
    cron = PlainCron(expression)
    at = after - timedelta(days=2)  # what the hand has met already decides what is a repetition
    hand = _local(at, zone)
    while at < until:
        at += MINUTE
        local = _local(at, zone)
        met = False
        while hand < local:
            hand += MINUTE
            met = met or cron.matches(hand)
        if met and at > after:
            yield at


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def changes_of(zone: ZoneInfo, year: int) -> list[datetime]:
    """Return the hours of a year after which the zone's offset is another than before."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hour for hour, old, new in zip(hours[1:], offsets, offsets[1:], strict=False) if old != new]
