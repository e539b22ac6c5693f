"""Durations are read and printed as Go does it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.cron.go_durations import DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds", "printed"),
    [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("-0", 0, "0s"),
        ("5s", 5, "5s"),
        ("+5s", 5, "5s"),
        ("300ms", 0.3, "300ms"),
        ("1.5h", 5_400, "1h30m0s"),
        ("2h45m", 9_900, "2h45m0s"),
        ("1h", 3_600, "1h0m0s"),
        ("90s", 90, "1m30s"),
        ("1m30.25s", 90.25, "1m30.25s"),
        (".5s", 0.5, "500ms"),
        ("1.s", 1, "1s"),
        ("1us", 0.000_001, "1µs"),
        ("1µs", 0.000_001, "1µs"),
        ("1μs", 0.000_001, "1µs"),
        ("1500us", 0.0015, "1.5ms"),
        ("1s1s", 2, "2s"),
        ("-1.5h", -5_400, "-1h30m0s"),
        ("2540400h", 2_540_400 * 3_600, "2540400h0m0s"),
        ("1s" * 100, 100, "1m40s"),
        # where the next unit begins
        ("999us", 0.000_999, "999µs"),
        ("1000us", 0.001, "1ms"),
        ("999.999ms", 0.999_999, "999.999ms"),
        ("1000ms", 1, "1s"),
        ("59.999999s", 59.999_999, "59.999999s"),
        ("60s", 60, "1m0s"),
        ("59m59s", 3_599, "59m59s"),
        ("60m", 3_600, "1h0m0s"),
    ],
)
def test_a_duration(text: str, seconds: float, printed: str) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert format_duration(parse_duration(text)) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("3", 'time: missing unit in duration "3"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h 5m", 'time: unknown unit "h " in duration "1h 5m"'),
        ("1 h", 'time: unknown unit " h" in duration "1 h"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("1s\n", 'time: unknown unit "s\n" in duration "1s\n"'),
        ("1.2.3s", 'time: missing unit in duration "1.2.3s"'),
        ("1S", 'time: unknown unit "S" in duration "1S"'),
        ('1"', 'time: unknown unit "\\"" in duration "1\\""'),
        ("\u0661s", 'time: invalid duration "\u0661s"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("9" * 100 + "s", f'time: invalid duration "{"9" * 100}s"'),
        ("1s" * 101, f'time: invalid duration "{"1s" * 100}"'),
    ],
)
def test_what_is_no_duration_is_said_as_go_says_it(text: str, message: str) -> None:
    with pytest.raises(DurationError) as refused:
        parse_duration(text)
    assert str(refused.value) == message


def test_the_longest_duration_is_that_of_go() -> None:
    assert parse_duration(f"{2**63 - 1}ns") == timedelta(microseconds=2**63 // 1_000 + 1)
    with pytest.raises(DurationError, match="invalid duration"):
        parse_duration(f"{2**63}ns")


@pytest.mark.parametrize("text", ["1ns", "499ns", "0.1us"])
def test_what_is_not_zero_never_becomes_zero(text: str) -> None:
    assert parse_duration(text) == timedelta(microseconds=1)


@given(st.timedeltas(min_value=timedelta(days=-100_000), max_value=timedelta(days=100_000)))
def test_what_is_printed_reads_as_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="0123456789.hmsuµn+-x ") | st.text())
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except DurationError as error:
        assert str(error).startswith("time: ")  # noqa: PT017  either outcome is good
    else:
        assert abs(duration) < timedelta(days=110_000)
