"""Every local time that an expression matches fires once, whatever the clock of the zone does."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.cron.expressions import Cron
from runwright.cron.timetable import Firing, Timetable, timetable_of
from runwright.cron.zones import find_zone, zone_names
from tests.unit.cron.reference_clock import changes_of, plain_firings

YEARS: Final = (1975, 2040)
ZONES: Final = sorted(zone_names())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def firings(expression: str, zone: str, after: str, count: int) -> list[Firing]:
    walk = timetable_of(expression, zone).firings_after(utc(after))
    return [firing for firing, _ in zip(walk, range(count), strict=False)]


def instants(expression: str, zone: str, after: str, count: int) -> list[str]:
    return [f"{one.at:%Y-%m-%d %H:%M}" for one in firings(expression, zone, after, count)]


# --- named cases: zone, expression, the day before, and when it fires -----------------------

CASES: Final = [
    # spring: 02:00 is put forward to 03:00 (01:00 UTC)
    ("Europe/Berlin", "30 2 * * *", "2026-03-28", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
    ("Europe/Berlin", "0 3 * * *", "2026-03-28", ["03-28 02:00", "03-29 01:00", "03-30 01:00"]),
    ("Europe/Berlin", "*/20 2 29 3 *", "2026-03-28", ["03-29 01:00"]),
    ("Europe/Berlin", "0 2,3 29 3 *", "2026-03-28", ["03-29 01:00"]),
    # autumn: 03:00 is put back to 02:00
    ("Europe/Berlin", "30 2 * * *", "2026-10-24", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
    ("Europe/Berlin", "*/30 2,3 25 10 *", "2026-10-24", ["10-25 00:00", "10-25 00:30", "10-25 02:00"]),
    ("America/New_York", "30 2 * * *", "2026-03-07 12:00", ["03-08 07:00", "03-09 06:30"]),
    ("America/New_York", "30 1 * * *", "2026-10-31 12:00", ["11-01 05:30", "11-02 06:30"]),
    # half an hour: 02:00 goes to 02:30 in October, back to 01:30 in April
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-02 16:00", ["10-03 15:30", "10-04 15:15"]),
    ("Australia/Lord_Howe", "30 2 * * *", "2026-10-02 16:00", ["10-03 15:30", "10-04 15:30"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04 12:00", ["04-04 14:45", "04-05 15:15"]),
    (
        "Australia/Lord_Howe",
        "*/15 1 5 4 *",
        "2026-04-04 12:00",
        ["04-04 14:00", "04-04 14:15", "04-04 14:30", "04-04 14:45"],
    ),
    # midnight itself is skipped, or happens twice
    ("Africa/Cairo", "0 0 * * *", "2026-04-23 12:00", ["04-23 22:00", "04-24 21:00"]),
    ("America/Havana", "30 0 * * *", "2023-03-11 12:00", ["03-12 05:00", "03-13 04:30"]),
    ("America/Havana", "30 0 * * *", "2023-11-04 12:00", ["11-05 04:30", "11-06 05:30"]),
    ("America/St_Johns", "0 0 * * *", "2010-11-06 12:00", ["11-07 02:30", "11-08 03:30"]),
    # the southern hemisphere
    ("America/Santiago", "30 0 * * *", "2026-09-05 12:00", ["09-06 04:00", "09-07 03:30"]),
    # a whole day is skipped: Samoa crossed the date line and had no 30 December 2011
    ("Pacific/Apia", "0 12 * * *", "2011-12-29 12:00", ["12-29 22:00", "12-30 10:00", "12-30 22:00"]),
    # rules that changed: Russia went to winter time for ever in October 2014, Turkey to summer time in 2016
    ("Europe/Moscow", "30 1 * * *", "2014-10-25 00:00", ["10-25 21:30", "10-26 22:30"]),
    ("Europe/Istanbul", "30 3 * * *", "2015-11-07 12:00", ["11-08 00:30", "11-09 01:30"]),
    ("Europe/Istanbul", "30 3 * * *", "2016-11-05 12:00", ["11-06 00:30", "11-07 00:30"]),
    # Mexico gave summer time up in 2022
    ("America/Mexico_City", "30 2 * * *", "2022-04-02 12:00", ["04-03 08:00", "04-04 07:30"]),
    ("America/Mexico_City", "30 2 * * *", "2023-04-01 12:00", ["04-02 08:30", "04-03 08:30"]),
    # zones without any change
    ("UTC", "30 2 * * *", "2026-03-28 12:00", ["03-29 02:30", "03-30 02:30"]),
    ("Asia/Kathmandu", "30 2 * * *", "2026-03-28 12:00", ["03-28 20:45", "03-29 20:45"]),
]


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), CASES)
def test_spring_and_autumn(zone: str, expression: str, after: str, expected: list[str]) -> None:
    got = instants(expression, zone, after, len(expected))
    assert [text[5:] for text in got] == expected


def test_every_minute_waits_while_the_clock_repeats_itself_and_misses_nothing_else() -> None:
    got = instants("*/30 * * * *", "Europe/Berlin", "2026-10-24 23:30", 6)
    assert [text[11:] for text in got] == ["00:00", "00:30", "02:00", "02:30", "03:00", "03:30"]
    got = instants("*/30 * * * *", "Europe/Berlin", "2026-03-28 23:30", 5)
    assert [text[11:] for text in got] == ["00:00", "00:30", "01:00", "01:30", "02:00"]


def test_a_firing_says_what_the_clock_did_to_it() -> None:
    (skipped,) = firings("30 2 * * *", "Europe/Berlin", "2026-03-29 00:00", 1)
    assert (skipped.skipped, skipped.repeated) == (True, False)
    assert f"{skipped.local:%H:%M}" == "02:30"
    (repeated,) = firings("30 2 * * *", "Europe/Berlin", "2026-10-25 00:00", 1)
    assert (repeated.skipped, repeated.repeated) == (False, True)
    (ordinary,) = firings("30 2 * * *", "Europe/Berlin", "2026-10-26 00:00", 1)
    assert (ordinary.skipped, ordinary.repeated) == (False, False)


def test_one_timetable_answers_for_each_instant_that_it_is_asked_for() -> None:
    table = timetable_of("0 * * * *", "UTC")
    noon = utc("2026-03-01 12:00")
    hours = [noon + timedelta(hours=hour) for hour in range(4)]
    for _ in range(2):
        assert [table.next_after(hour) for hour in hours[:3]] == hours[1:]
        assert [table.next_after(noon), table.next_after(noon)] == [hours[1], hours[1]]


# --- the law, against the plain model --------------------------------------------------------


@lru_cache
def changes(zone: str, year: int) -> list[datetime]:
    return changes_of(find_zone(zone), year)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    part = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.tuples(number, st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.tuples(number, number, st.integers(1, high)).map(
            lambda three: f"{min(three[:2])}-{max(three[:2])}/{three[2]}"
        ),
        st.tuples(number, st.integers(1, high)).map(lambda pair: f"{pair[0]}-{pair[0]}/{pair[1]}"),
    )
    return st.one_of(st.just("*"), part, st.lists(number.map(str), min_size=1, max_size=4).map(",".join))


EXPRESSIONS: Final = st.tuples(
    field(0, 59),
    st.one_of(field(0, 23), st.sampled_from(["0", "1", "2", "1-3", "23", "0,2"])),
    st.one_of(st.just("*"), field(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), field(0, 7)),
).map(" ".join)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a time in it, mostly about a change of its clock."""
    zone = draw(st.sampled_from(ZONES))
    year = draw(st.integers(*YEARS))
    found = changes(zone, year) or [datetime(year, 3, 29, tzinfo=UTC)]
    return zone, draw(st.sampled_from(found)) - timedelta(minutes=draw(st.integers(0, 26 * 60)))


@pytest.mark.timeout(600)  # the model walks through every minute
@settings(max_examples=200, deadline=None)
@given(window=windows(), expression=EXPRESSIONS)
def test_firings_are_those_of_the_plain_model_in_every_zone_and_year(
    window: tuple[str, datetime], expression: str
) -> None:
    zone, after = window
    until = after + timedelta(days=2)
    expected = list(plain_firings(expression, find_zone(zone), after, until))
    table = timetable_of(expression, zone)
    got = []
    for firing in table.firings_after(after):
        # The model looks at whole minutes; a change of the clock may come between two of them.
        at = -(-firing.at.timestamp() // 60) * 60
        if at > until.timestamp():
            break
        got.append(datetime.fromtimestamp(at, UTC))
    assert got == expected
    assert table.count(after, until) == len([one for one in got if one <= until])


@settings(max_examples=100, deadline=None)
@given(window=windows(), expression=EXPRESSIONS, minutes=st.lists(st.integers(0, 3 * 24 * 60), max_size=5))
def test_where_one_begins_to_look_does_not_change_what_fires(
    window: tuple[str, datetime], expression: str, minutes: list[int]
) -> None:
    zone, after = window
    table = timetable_of(expression, zone)
    last = max(minutes, default=0)
    whole = []
    for firing in table.firings_after(after):
        whole.append(firing.at)
        if firing.at > after + timedelta(minutes=last):
            break
    for minute in minutes:
        begin = after + timedelta(minutes=minute)
        assert table.next_after(begin) == min(at for at in whole if at > begin)


def test_a_firing_that_is_skipped_until_midnight_is_counted() -> None:
    """In Nuuk the clock jumps from 23:00 to the midnight after."""
    table = timetable_of("30 23 * * *", "America/Nuuk")
    begin, end = utc("2024-03-28 00:00"), utc("2024-04-03 00:00")
    assert table.count(begin, end) == 6
    assert utc("2024-03-31 01:00") in {
        firing.at for firing in firings("30 23 * * *", "America/Nuuk", "2024-03-28 00:00", 6)
    }


@settings(max_examples=60, deadline=None)
@given(window=windows(), expression=EXPRESSIONS, seconds=st.integers(0, 500 * 86400))
def test_counting_is_walking(window: tuple[str, datetime], expression: str, seconds: int) -> None:
    zone, after = window
    cron, until = f"7 {expression.split(' ', 1)[1]}", after + timedelta(seconds=seconds)
    table = timetable_of(cron, zone)
    assert table.count(after, until) == walked(table, after, until)


def walked(table: Timetable, after: datetime, until: datetime) -> int:
    return sum(1 for _ in takewhile(lambda firing: firing.at <= until, table.firings_after(after)))


@pytest.mark.parametrize("expression", ["*/20 * * * *", "0 0 * * *", "30 23 6,7 11 *"])
@pytest.mark.parametrize("quarters", range(12))
def test_counting_begins_also_between_two_midnights(expression: str, quarters: int) -> None:
    """In Newfoundland the clock went from 00:01 back to 23:01, so there were two midnights."""
    table = timetable_of(expression, "America/St_Johns")
    after = utc("2010-11-07 01:45") + timedelta(minutes=15 * quarters)
    for hours in (1, 30, 72):
        until = after + timedelta(hours=hours)
        assert table.count(after, until) == walked(table, after, until)


def test_regular_days_and_hours_are_counted_without_walking(monkeypatch: pytest.MonkeyPatch) -> None:
    table, placed = Timetable(Cron("*/5 * * * *"), find_zone("Europe/Berlin")), 0
    place = table._place  # noqa: SLF001  what is counted

    def counted(local: datetime) -> Firing:
        nonlocal placed
        placed += 1
        return place(local)

    monkeypatch.setattr(table, "_place", counted)
    assert (
        table.count(utc("2020-01-01 00:00"), utc("2030-01-01 00:00")) == 3653 * 288 - 10 * 12
    )  # those of the hours that the clock skips
    assert placed < 2000
