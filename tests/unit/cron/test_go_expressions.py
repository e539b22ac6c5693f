"""Cron expressions as robfig/cron reads them."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.cron.expressions import CronError
from runwright.cron.go_expressions import go_timetable_of
from runwright.cron.zones import UnknownZoneError, find_zone

NOW = datetime(2026, 3, 1, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("", "expected exactly 5 fields, found 0"),
        ("* * * *", "found 4"),
        ("* * * * * *", "found 6"),
        ("@daily", "found 1"),
        ("@every 1h", "found 2"),
        ("60 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("X * * * *", "minute"),
        ("X-5 * * * *", "minute"),
        ("X/5 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1- * * * *", "minute"),
        ("5-1 * * * *", "5 is beyond 1"),
        ("*,61 * * * *", "minute"),
        ("0 ?,x * * *", "hour"),
        ("*/61 * * * *", "the step is larger than the field"),
        ("0 0 * * */000008", "the step is larger than the field"),
        ("*-5 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        (", * * * *", "minute"),
        ("1.5 * * * *", "minute"),
        ("\u0661 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * 32 * *", "day of month"),
        ("* * L * *", "day of month"),
        ("* * 15W * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * FOO *", "month"),
        ("* * * * 7", "day of week"),
        ("* * * * 1#2", "day of week"),
        ("* * * * 5L", "day of week"),
        ("* * * * jan", "day of week"),
        ("0 0 31 2 *", "never matches"),
        ("0 0 30 2 ?", "never matches"),
        ("0 0 31 4,6,9,11 *", "never matches"),
        ("TZ=UTC", "followed by a space"),
        ("TZ=UTC ", "followed by a space"),
        ("TZ=Mars/Olympus 0 0 * * *", "unknown time zone Mars/Olympus"),
        ("TZ=../../etc/passwd 0 0 * * *", "unknown time zone"),
        ("TZ= 0 0 * * *", "unknown time zone"),
        ("ZZ=UTC 0 0 * * *", "found 6"),
        ("0 0 1 1 *".ljust(201), "200 characters"),
    ],
)
def test_what_is_wrong_is_said(expression: str, part: str) -> None:
    with pytest.raises(CronError, match=part):
        go_timetable_of(expression, "UTC")


def test_a_wrong_zone_of_the_caller_is_not_the_expressions_fault() -> None:
    with pytest.raises(UnknownZoneError):
        go_timetable_of("0 0 * * *", "Nowhere")


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 9 * * *", "2026-03-01 09:00"),
        (" 0  9\t* * ? ", "2026-03-01 09:00"),
        ("5/15 * * * *", "2026-03-01 00:05 00:20 00:35 00:50 01:05"),
        ("1-3,5 0 * * *", "2026-03-01 00:01 00:02 00:03 00:05"),
        ("0000000000005 0 * * *", "2026-03-01 00:05"),
        ("50-55/5 1 * * *", "2026-03-01 01:50 01:55"),
        ("0 0 * * 0", "2026-03-08"),
        ("0 0 * * sun", "2026-03-08"),
        ("0 0 * * MON-wed", "2026-03-02 00:00"),
        ("0 0 1 JAN,jul ?", "2026-07-01"),
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 */31 * *", "2026-04-01"),
        # day and weekday both restricted: either will do
        ("0 0 10 * mon", "2026-03-02"),
        ("0 0 10 * 6", "2026-03-07"),
        # one of them any: both have to match
        ("0 0 * * thu", "2026-03-05"),
        ("0 0 ? * thu", "2026-03-05"),
        ("0 0 10 * *", "2026-03-10"),
        ("0 0 10 * ?", "2026-03-10"),
        ("0 0 10,* * thu", "2026-03-05"),
        ("0 0 */1 * thu", "2026-03-05"),
        ("0 0 */01 * thu", "2026-03-05"),
        ("0 0 ?/1 * thu", "2026-03-05"),
        ("0 0 10 * */1", "2026-03-10"),
        ("0 0 10 * ?/1", "2026-03-10"),
        # a step is a restriction, so either will do
        ("0 0 */2 * mon", "2026-03-02"),
        ("0 0 10 * */6", "2026-03-07"),
        ("0 0 1 4 *".ljust(200), "2026-04-01"),
        ("TZ=Europe/Berlin 0 9 * * *", "2026-03-01 08:00"),
        ("CRON_TZ=America/New_York 0 9 * * *", "2026-03-01 14:00"),
    ],
)
def test_when_an_expression_fires(expression: str, first: str) -> None:
    day, *times = first.split()
    firings = go_timetable_of(expression, "UTC").firings_after(NOW)
    expected = [f"{day} {time}" for time in times or ["00:00"]]
    assert [f"{firing.at:%Y-%m-%d %H:%M}" for firing in islice(firings, len(expected))] == expected


def test_the_weekday_rule_for_a_month_of_days() -> None:
    """`*/2` and Monday: odd days of the month, and all Mondays."""
    days = {firing.at.day for firing in islice(go_timetable_of("0 0 */2 * 1", "UTC").firings_after(NOW), 18)}
    assert days == set(range(3, 32, 2)) | {2, 16, 30}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_local_time_that_the_clock_skips_is_passed_over() -> None:
    timetable = go_timetable_of("30 2 * * *", "Europe/Berlin")
    assert timetable.next_after(at("2026-03-28T02:00")) == at("2026-03-30T00:30")
    assert go_timetable_of("30 2 28 3 *", "Europe/Berlin").next_after(at("2027-01-01T00:00")) == at(
        "2028-03-28T00:30"
    )


def test_a_local_time_that_the_clock_repeats_fires_twice() -> None:
    firings = go_timetable_of("*/30 2 * * *", "Europe/Berlin").firings_after(at("2026-10-24T12:00"))
    assert [f"{firing.at:%d %H:%M}" for firing in islice(firings, 6)] == [
        "25 00:00", "25 00:30", "25 01:00", "25 01:30", "26 01:00", "26 01:30",
    ]  # fmt: skip


def test_a_walk_that_begins_within_the_repeated_hour_goes_on_with_its_second_turn() -> None:
    timetable = go_timetable_of("*/20 2 * * *", "Europe/Berlin")
    assert timetable.next_after(at("2026-10-25T00:45")) == at("2026-10-25T01:00")
    assert timetable.next_after(at("2026-10-25T01:15")) == at("2026-10-25T01:20")


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("0 * * * *", ["12:00", "13:00", "14:00"]),
        ("*/20 2 * * *", ["00:00", "00:20", "00:40", "01:00", "01:20", "01:40"]),
    ],
)
def test_the_next_firing_is_after_the_last_also_where_the_clock_repeats_itself(
    expression: str, times: list[str]
) -> None:
    timetable = go_timetable_of(expression, "Europe/Berlin")
    for before, after in pairwise(times):
        assert timetable.next_after(at(f"2026-10-25T{before}")) == at(f"2026-10-25T{after}")


def test_a_firing_says_whether_its_local_time_is_repeated() -> None:
    firings = go_timetable_of("30 2 * * *", "Europe/Berlin").firings_after(at("2026-10-24T12:00"))
    found = [(firing.repeated, firing.skipped, f"{firing.local:%d %H:%M}") for firing in islice(firings, 3)]
    assert found == [(True, False, "25 02:30"), (True, False, "25 02:30"), (False, False, "26 02:30")]


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]
)
EXPRESSIONS = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 * * * *",
        "59 1,2,3 * * sun",
        "0,30 0-3 */3 * 1",
        "0 0 1 * *",
    ]
)
INSTANTS = st.integers(0, 4 * 365 * 1440).map(
    lambda minutes: NOW + timedelta(minutes=minutes, seconds=minutes % 60)
)


@settings(max_examples=25, deadline=None)
@given(EXPRESSIONS, ZONES, INSTANTS)
def test_a_firing_is_an_instant_whose_local_time_matches(expression: str, zone: str, begin: datetime) -> None:
    """Hold the walk against trying every minute of two days, of which one may change the clock."""
    timetable = go_timetable_of(expression, zone)
    minute = begin.replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = begin + timedelta(days=2)
    expected = []
    while minute <= end:
        local = minute.astimezone(find_zone(zone)).replace(tzinfo=None, fold=0)
        if next(timetable.cron.after(local - timedelta(minutes=1))) == local:
            expected.append(minute)
        minute += timedelta(minutes=1)
    walked = []
    for firing in timetable.firings_after(begin):
        if firing.at > end:
            break
        walked.append(firing.at)
    assert walked == expected
    assert timetable.count(begin, end) == len(expected)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*?/-, sunjaSTZ=") | st.text())
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        timetable = go_timetable_of(text, "UTC")
    except CronError as error:
        assert str(error)  # noqa: PT017  either outcome is good
    else:
        assert timetable.next_after(NOW) is not None
