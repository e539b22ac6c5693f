"""What is an expression, and what is not."""

import contextlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.cron.expressions import Cron, CronError
from runwright.cron.timetable import timetable_of
from runwright.cron.zones import RULES_VERSION, UnknownZoneError, find_zone, zone_names

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("@daily", "^Must not contain '@'"),
        ("* * * * \u0661", r"^Must not contain '\u0661'"),
        ("0 9 ? * MON", r"^Must not contain '\?'"),
        ("0 9 * * MON\0", "^Must not contain"),
        ("*/90 * * * *", r"^Has a bad minute field: a step of 90 is larger than the field\.$"),
        ("5/61 * * * *", "a step of 61"),
        ("0 0,1-2/25 * * *", "a step of 25"),
        ("0 0 */32 * *", "a step of 32"),
        ("0 0 1 */13 *", "a step of 13"),
        ("0 0 * * */8", "a step of 8"),
        ("0 0 L/2 * *", r"^Has a bad day field\.$"),
        ("0 0 1,LW/3 * *", r"^Has a bad day field\.$"),
        ("9-9/0 * * * *", r"^Has a bad minute field\.$"),
        ("60 * * * *", r"^Has a bad minute field\.$"),
        ("-1 * * * *", r"^Has a bad minute field\.$"),
        ("*/0 * * * *", r"^Has a bad minute field\.$"),
        ("1- * * * *", r"^Has a bad minute field\.$"),
        ("5-1 * * * *", r"^Has a bad minute field\.$"),
        ("1,,2 * * * *", r"^Has a bad minute field\.$"),
        ("1.5 * * * *", r"^Must not contain '\.'"),
        ("* 24 * * *", r"^Has a bad hour field\.$"),
        ("* * 0 * *", r"^Has a bad day field\.$"),
        ("* * 32 * *", r"^Has a bad day field\.$"),
        ("* * * 13 *", r"^Has a bad month field\.$"),
        ("* * * FOO *", r"^Has a bad month field\.$"),
        ("* * * * 8", r"^Has a bad weekday field\.$"),
        ("* * * * 1#6", r"^Has a bad weekday field\.$"),
        ("0 0 31 2 *", "Never matches"),
        ("0 0 30 2 *", "Never matches"),
        ("0 0 31 4,6,9,11 *", "Never matches"),
        ("0 0 */16 2 1#5", "Never matches"),
        ("0 0 1 1 *".ljust(201), "200 characters"),
    ],
)
def test_what_is_wrong_is_said(expression: str, part: str) -> None:
    with pytest.raises(CronError, match=part):
        Cron(expression)


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("0 0 29 2 *", "2028-02-29"),
        ("0 0 L * *", "2026-03-31"),
        ("0 0 LW 5 *", "2026-05-29"),
        ("0 0 * * 5L", "2026-03-27"),
        ("0 0 * * TUE#2", "2026-03-10"),
        ("0 0 * * 7", "2026-03-08"),
        ("0 0 * jul Sun", "2026-07-05"),
        ("0 0 13 * 5", "2026-03-06"),
        ("0 0 */2 * 1", "2026-03-09"),
        ("0  0 1 1 *", "2027-01-01"),
        ("\t0\t0 1 1 *\r\n", "2027-01-01"),
        ("0 0 1 6-6/2 *", "2026-06-01"),
        ("0 0 * * mon-1/2", "2026-03-02"),
        ("0 0 1 1 *".ljust(200), "2027-01-01"),
    ],
)
def test_what_debian_knows_is_understood(expression: str, first: str) -> None:
    found = timetable_of(expression, "UTC").next_after(NOW)
    assert found is not None
    assert found.date() == date.fromisoformat(first)


@pytest.mark.parametrize(
    ("expression", "hours"),
    [
        ("0 9-9/1 * * *", {9}),
        ("0 09-9/2 * * *", {9}),
        ("0 9-9/1,12-13/1 * * *", {9, 12, 13}),
        ("0 9/5 * * *", {9, 14, 19}),
        ("0 9-17/24 * * *", {9}),
    ],
)
def test_a_step_over_one_hour_is_that_hour(expression: str, hours: set[int]) -> None:
    found = timetable_of(expression, "UTC").firings_after(NOW)
    assert {next(found).local.hour for _ in range(2 * len(hours))} == hours


@given(st.text(alphabet="0123456789*/,-#LWMONa ", max_size=40))
def test_nothing_but_a_cron_error_comes_of_any_text(text: str) -> None:
    with contextlib.suppress(CronError):
        Cron(text)


@pytest.mark.parametrize(
    "name",
    ["", "Berlin", "../../etc/passwd", "/etc/localtime", "Europe", "Factory", "a\0b", "UTC+1", "x" * 9999],
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UnknownZoneError):
        find_zone(name)


def test_a_misspelt_zone_is_told_the_right_name() -> None:
    with pytest.raises(UnknownZoneError, match=r"Perhaps Europe/Berlin is meant\."):
        find_zone("europe/berlin")


def test_every_zone_of_the_package_can_be_read() -> None:
    assert len(zone_names()) > 500
    for name in zone_names():
        assert find_zone(name).key == name
    assert RULES_VERSION[:2] == "20"
