"""Both dialects agree with a model of their documentation on random expressions, about changes of the clock.

`CRON_EXPRESSIONS=10000 make test ARGS=tests/unit/cron/test_oracle.py` tries that many in each dialect,
in every zone of the model and about every change of its clock.
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
PLACES: Final = 60 if EXPRESSIONS < 10_000 else 1_250
"""At how many changes of a clock they are tried; to walk through the minutes of one takes longest."""

_DAYS: Final = [date(2027, 1, 1) + n * DAY for n in range(2 * 365)]


def places(times: int) -> Iterator[tuple[str, datetime]]:
    """Yield every change of every clock, the zones in turn, each several times in a row."""
    for turn in itertools.count():
        for zone in ZONES:
            found = changes_of(zone)
            yield from itertools.repeat((zone, found[-1 - turn % len(found)]), max(times, 1))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("oracle", "timetable"), [(Ava, timetable_of), (Agh, go_timetable_of)], ids=["ava", "agh"]
)
def test_random_expressions_fire_as_their_documentation_says(
    oracle: Callable[[str], Oracle], timetable: Callable[[str, str], Timetable]
) -> None:
    draw, invalid = random.Random(15), 0
    for zone, change in itertools.islice(places(EXPRESSIONS // PLACES), EXPRESSIONS):
        expression = random_expression(draw, ava=oracle is Ava)
        try:
            expected = oracle(expression)
        except NotCronError:
            invalid += 1
            with pytest.raises(CronError):
                timetable(expression, zone)
            continue
        _compare(expected, timetable(expression, zone), expression, zone, change)
    assert invalid < EXPRESSIONS / 2


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
