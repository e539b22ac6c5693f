"""Both dialects agree with a model of their documentation on random expressions, about changes of the clock.

`CRON_EXPRESSIONS=10000 make test ARGS=tests/unit/cron/test_oracle.py` tries that many in each dialect, in parts of
1,250, in every zone of the model and about every change of its clock; the first part of each is always tried,
shortened.
"""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Final

import pytest

from runwright.cron.expressions import CronError
from runwright.cron.go_expressions import go_timetable_of
from runwright.cron.timetable import Timetable, timetable_of
from tests.unit.cron.cron_oracle import (
    DAY,
    ZONES,
    Agh,
    Ava,
    NotCronError,
    Oracle,
    changes_of,
    random_expression,
    window_of,
)

EXPRESSIONS: Final = int(os.environ.get("CRON_EXPRESSIONS", "240"))
PART: Final = 1_250
"""How many expressions one test tries."""

IN_A_ROW: Final = 4 if EXPRESSIONS < PART else 8
"""How many are tried at one change of a clock; to walk through its minutes takes long."""

_DAYS: Final = [date(2027, 1, 1) + n * DAY for n in range(2 * 365)]


def places() -> Iterator[tuple[str, datetime]]:
    """Yield every change of every clock, the zones in turn, each several times in a row."""
    for turn in itertools.count():
        for zone in ZONES:
            found = changes_of(zone)
            yield from itertools.repeat((zone, found[-1 - turn % len(found)]), IN_A_ROW)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("begin", range(0, EXPRESSIONS, PART))
@pytest.mark.parametrize(
    ("oracle", "timetable"), [(Ava, timetable_of), (Agh, go_timetable_of)], ids=["ava", "agh"]
)
def test_random_expressions_fire_as_their_documentation_says(
    oracle: Callable[[str], Oracle], timetable: Callable[[str, str], Timetable], begin: int
) -> None:
    draw, invalid, end = random.Random(15 + begin), 0, min(begin + PART, EXPRESSIONS)
    for zone, change in itertools.islice(places(), begin, end):
        expression = random_expression(draw, ava=oracle is Ava)
        try:
            expected = oracle(expression)
        except NotCronError:
            invalid += 1
            with pytest.raises(CronError):
                timetable(expression, zone)
            continue
        _compare(expected, timetable(expression, zone), expression, zone, change)
    assert invalid < (end - begin) / 2


def _compare(expected: Oracle, table: Timetable, expression: str, zone: str, change: datetime) -> None:
    days = [day for day in _DAYS if expected.on(day)]
    assert [day for day in _DAYS if table.cron.matches_day(day)] == days, expression
    window = window_of(zone, change)
    firings = [
        one.at
        for one in itertools.takewhile(lambda one: one.at <= window.end, table.firings_after(window.begin))
    ]
    assert firings == expected.firings(window), (expression, zone, change)
    assert table.count(window.begin, window.end) == len(firings), (expression, zone, change)
    if firings:
        middle = random.Random(expression).choice(firings)
        later = [at for at in firings if at > middle]
        assert not later or table.next_after(middle) == later[0], (expression, zone, middle)


def test_the_model_has_thirty_zones_and_all_their_changes() -> None:
    assert len(set(ZONES)) == 30
    assert datetime(2026, 3, 29, 1, tzinfo=UTC) in changes_of("Europe/Berlin")
    assert datetime(2011, 12, 30, 10, tzinfo=UTC) in changes_of("Pacific/Apia")
    assert datetime(2015, 8, 14, 15, tzinfo=UTC) in changes_of("Asia/Pyongyang")
