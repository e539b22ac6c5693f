"""What a cron expression means, written from the documentation alone: sets, and a look at every minute.

It shares no code with what it judges. `Ava` has the rules of docs/schedules.md, `Agh` those of
docs/automations.md; each says which expressions there are, which dates they match, and in which
minutes they fire while the clock of a zone is changed.
"""

import calendar
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from runwright.cron.zones import find_zone

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
FIFTY_YEARS: Final = [date(2000, 1, 1) + n * DAY for n in range(50 * 366)]
YEARS: Final = range(2010, 2036)
ZONES: Final = (
    "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "Europe/Istanbul", "Europe/Chisinau",
    "America/New_York", "America/St_Johns", "America/Havana", "America/Santiago", "America/Asuncion",
    "America/Sao_Paulo", "America/Mexico_City", "America/Nuuk", "America/Scoresbysund", "America/Caracas",
    "Africa/Cairo", "Africa/Casablanca", "Asia/Tehran", "Asia/Amman", "Asia/Beirut", "Asia/Gaza",
    "Asia/Jerusalem", "Asia/Pyongyang", "Asia/Kathmandu", "Australia/Lord_Howe", "Australia/Sydney",
    "Pacific/Chatham", "Pacific/Apia", "Antarctica/Troll",
)  # fmt: skip

MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
BOUNDS: Final = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


class NotCronError(Exception):
    """The expression is none."""


class Oracle:
    """The rules that both dialects share."""

    last_weekday: ClassVar[int]
    stars: ClassVar[str]

    def __init__(self, expression: str) -> None:
        fields = expression.lower().split()
        if len(fields) != len(BOUNDS):
            raise NotCronError(expression)
        texts = dict(zip(BOUNDS, fields, strict=True))
        self.special: set[str] = set()
        self.sets = {name: self._numbers(name, text) for name, text in texts.items()}
        self.weekdays = {number % 7 for number in self.sets["weekday"]}
        self.times = {(hour, minute) for hour in self.sets["hour"] for minute in self.sets["minute"]}
        self.both = self._any(texts["day"]) or self._any(texts["weekday"])
        if not any(map(self.on, FIFTY_YEARS)):
            raise NotCronError(expression)

    def _any(self, text: str) -> bool:
        raise NotImplementedError

    def _numbers(self, name: str, text: str) -> set[int]:
        return {number for part in text.split(",") for number in self._part(name, part)}

    def _part(self, name: str, part: str) -> Iterator[int]:
        low, high = BOUNDS[name]
        top = self.last_weekday if name == "weekday" else high
        span, slash, step_text = part.partition("/")
        if slash and not (step_text.isascii() and step_text.isdigit()):
            raise NotCronError(part)
        step = int(step_text) if slash else 1
        if not 1 <= step <= high - low + 1:
            raise NotCronError(part)
        first_text, dash, last_text = span.partition("-")
        if span in self.stars and len(span) == 1:
            first, last = low, top
        else:
            first = self._value(name, first_text, low, top)
            last = self._value(name, last_text, low, top) if dash else top if slash else first
        if last < first:
            raise NotCronError(part)
        number = first
        while number <= last:
            yield number
            number += step

    def _value(self, name: str, text: str, low: int, top: int) -> int:
        names = {"month": MONTHS, "weekday": WEEKDAYS}.get(name, [])
        if text in names:
            return names.index(text) + low
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= top:
            raise NotCronError(text)
        return int(text)

    def on(self, day: date) -> bool:
        """Return whether the expression matches this date."""
        if day.month not in self.sets["month"]:
            return False
        by_day = day.day in self.sets["day"] or self._special_day(day)
        by_weekday = day.isoweekday() % 7 in self.weekdays or self._special_weekday(day)
        return (by_day and by_weekday) if self.both else (by_day or by_weekday)

    def _special_day(self, day: date) -> bool:
        if not self.special:
            return False
        length, working = _ends_of(day.year, day.month)
        return ("l" in self.special and day.day == length) or ("lw" in self.special and day.day == working)

    def _special_weekday(self, day: date) -> bool:
        if not self.special:
            return False
        length, _ = _ends_of(day.year, day.month)
        weekday, nth = day.isoweekday() % 7, (day.day - 1) // 7 + 1
        return f"{weekday}#{nth}" in self.special or (f"{weekday}l" in self.special and day.day + 7 > length)

    def matches(self, local: datetime) -> bool:
        """Return whether this local time matches."""
        return (local.hour, local.minute) in self.times and self.on(local.date())

    def firings(self, window: "Window") -> list[datetime]:
        """Return the minutes of the window in which the expression fires."""
        raise NotImplementedError


class Ava(Oracle):
    """Debian's grammar with `L`, `LW`, `5L` and `5#2`; every matching local time fires once."""

    last_weekday = 7
    stars = "*"

    def _any(self, text: str) -> bool:
        return text.startswith("*")

    def _part(self, name: str, part: str) -> Iterator[int]:
        if name == "day" and part in {"l", "lw"}:
            self.special.add(part)
        elif name == "weekday" and part.endswith("l") and part[:-1].isdigit():
            self.special.add(f"{self._value(name, part[:-1], 0, 7) % 7}l")
        elif name == "weekday" and "#" in part:
            weekday, _, nth = part.partition("#")
            if nth not in {"1", "2", "3", "4", "5"}:
                raise NotCronError(part)
            self.special.add(f"{self._value(name, weekday, 0, 7) % 7}#{nth}")
        else:
            yield from super()._part(name, part)

    def firings(self, window: "Window") -> list[datetime]:
        return [at for at, met in window.met if any(map(self.matches, met))]


class Agh(Oracle):
    """robfig's grammar; every instant whose local time matches fires."""

    last_weekday = 6
    stars = "*?"

    def _any(self, text: str) -> bool:
        parts = (part.partition("/") for part in text.split(","))
        return any(span in {"*", "?"} and int(step or "1") == 1 for span, _, step in parts)

    def firings(self, window: "Window") -> list[datetime]:
        return [at for at, local in window.shown if self.matches(local)]


@cache
def _ends_of(year: int, month: int) -> tuple[int, int]:
    """Return the last day of a month, and its last one from Monday to Friday."""
    length = calendar.monthrange(year, month)[1]
    return length, max(n for n in range(1, length + 1) if calendar.weekday(year, month, n) < 5)


class Window:
    """The minutes about an instant in a zone: what the clock shows, and what its hand has newly met.

    The hand only moves forward: where the clock jumps ahead it sweeps over what was skipped, where
    the clock is put back it waits.
    """

    def __init__(self, zone: str, middle: datetime) -> None:
        rules = find_zone(zone)
        self.begin, self.end = middle - DAY, middle + DAY
        self.shown: list[tuple[datetime, datetime]] = []
        self.met: list[tuple[datetime, list[datetime]]] = []
        at = self.begin - 2 * DAY  # what was met already decides what is a repetition
        hand = _local(at, rules)
        while at < self.end:
            at += MINUTE
            local, met = _local(at, rules), []
            while hand < local:
                hand += MINUTE
                met.append(hand)
            if at > self.begin:
                self.shown.append((at, local))
                self.met.append((at, met))


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


window_of: Final = lru_cache(maxsize=64)(Window)


@lru_cache
def changes_of(zone: str) -> Sequence[datetime]:
    """Return the minutes at which the clock of a zone is changed, and one without a change."""
    rules, found = find_zone(zone), [datetime(YEARS[0], 2, 1, 12, tzinfo=UTC)]
    at, end = datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[-1], 12, 31, tzinfo=UTC)
    offset = _offset(at, rules)
    while at < end:
        if _offset(at + DAY, rules) != offset:
            change = at
            for step in (HOUR, MINUTE):
                while _offset(change + step, rules) == offset:
                    change += step
            found.append(change + MINUTE)
        at += DAY
        offset = _offset(at, rules)
    return found


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def random_expression(draw: random.Random, *, ava: bool) -> str:
    """Return an expression with every odd form of the grammar; one in twenty parts is probably none."""
    minute = _field(draw, "minute", ava=ava)
    hour = draw.choice([_field(draw, "hour", ava=ava), draw.choice(["*", "0", "1", "2", "0-3", "23", "1,2"])])
    day = draw.choice(["*", _field(draw, "day", ava=ava)])
    month = draw.choice(["*", "*", _field(draw, "month", ava=ava)])
    weekday = draw.choice(["*", _field(draw, "weekday", ava=ava)])
    return draw.choice([" ", "\t", "  "]).join((minute, hour, day, month, weekday))


def _field(draw: random.Random, name: str, *, ava: bool) -> str:
    return ",".join(_part(draw, name, ava=ava) for _ in range(draw.choice([1, 1, 1, 2, 3, 5])))


def _part(draw: random.Random, name: str, *, ava: bool) -> str:
    low, high = BOUNDS[name]
    high += name == "weekday" and ava
    first, last = sorted(draw.choices(range(low, high + 1), k=2))
    star = "*" if ava else draw.choice("*?")
    step = draw.choice([1, 2, draw.randint(1, high)])
    forms = [
        star,
        f"{star}/{step}",
        f"{star}/0{step}",
        _number(draw, name, first),
        f"{_number(draw, name, first)}-{_number(draw, name, last)}",
        f"{_number(draw, name, first)}-{_number(draw, name, last)}/{step}",
        f"{_number(draw, name, first)}-{_number(draw, name, first)}/{step}",
        f"{_number(draw, name, first)}/{step}",
    ]
    if draw.random() < 0.03:
        wrong = [
            str(high + 1),
            f"{last}-{first}",
            f"{star}/{high + 9}",
            f"{star}/0",
            "",
            "x",
            "1-",
            "-1",
            "L/2",
        ]
        return draw.choice([*wrong, "sun", "1/2/3", "1-2-3", "?/2", "9#6", "**", "*-3"])
    if ava and name in {"day", "weekday"} and draw.random() < 0.2:
        week = [f"{first}L", f"{first}#{draw.randint(1, 5)}", f"{draw.choice(WEEKDAYS).title()}#2"]
        return draw.choice(["L", "LW"] if name == "day" else week)
    return draw.choice(forms)


def _number(draw: random.Random, name: str, number: int) -> str:
    names = {"month": MONTHS, "weekday": WEEKDAYS}.get(name, [])
    place = number - BOUNDS[name][0]
    if names and place < len(names) and draw.random() < 0.4:
        return draw.choice([str.upper, str.lower, str.title])(names[place])
    return str(number).zfill(draw.choice([1, 1, 2, 4]))
