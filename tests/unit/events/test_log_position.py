"""Positions in the event log: their text, and up to where the log is settled."""

import pytest

from runwright.events.log_position import (
    MOST_ABOVE,
    SLACK_SECONDS,
    LogHorizon,
    LogPosition,
    LogSnapshot,
    parse_position,
)

OPEN = 500
"""The number of a transaction that stays open."""


def test_a_position_is_read_as_it_was_written() -> None:
    for position in (
        LogPosition(17, 0),
        LogPosition(1_800_000_000_000, 12, (13, 15, 14)),
        LogPosition(1, 10**17, tuple(10**17 + n for n in range(1, MOST_ABOVE + 1))),
    ):
        assert parse_position(position.text) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1",
        "1-",
        "-1",
        "1-2.",
        "1-2.x",
        "1-2..3",
        "1--2",
        "٣-1",
        "1-2\n",
        "1-2" + ".1" * 33,
        "9" * 20 + "-1",
    ],
)
def test_what_is_no_position_is_none(text: str) -> None:
    assert parse_position(text) is None


def snapshot(last: int, *, oldest: int, number: int | None = None) -> LogSnapshot:
    return LogSnapshot(oldest=oldest, last=last, number=number)


def test_a_position_is_settled_once_all_transactions_of_its_time_have_ended() -> None:
    horizon = LogHorizon(100)
    horizon.observe(snapshot(120, oldest=OPEN), 0.0)
    assert not horizon.needs_number(SLACK_SECONDS / 2)
    assert horizon.needs_number(SLACK_SECONDS)
    horizon.observe(snapshot(130, oldest=OPEN, number=510), SLACK_SECONDS)
    assert horizon.settled == 100
    horizon.observe(snapshot(140, oldest=OPEN + 9), SLACK_SECONDS + 0.1)
    assert horizon.settled == 100
    horizon.observe(snapshot(140, oldest=510), SLACK_SECONDS + 0.2)
    assert horizon.settled == 120


def test_a_transaction_that_stays_open_holds_the_horizon() -> None:
    horizon = LogHorizon(0)
    for second in range(1000):
        number = 600 + second if horizon.needs_number(second) else None
        horizon.observe(snapshot(10 * second, oldest=OPEN, number=number), float(second))
    assert horizon.settled == 0
    horizon.observe(snapshot(10_000, oldest=10**6), 1000.0)
    assert horizon.settled > 0


def test_nothing_new_needs_no_numbers() -> None:
    horizon = LogHorizon(50)
    for second in range(100):
        assert not horizon.needs_number(float(second))
        horizon.observe(snapshot(50, oldest=OPEN), float(second))
    assert horizon.settled == 50
