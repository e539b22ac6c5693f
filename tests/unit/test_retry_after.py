"""The next attempt is not before the receiver asks for it, and not before the ladder has it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from runwright.outbox.retry_after import LONGEST_SECONDS, wait_seconds

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 30),
        ("", 30),
        ("soon", 30),
        ("-5", 30),
        ("1.5", 30),
        ("90.5", 90.5),
        (" 120 ", 120),
        ("1e3", 30),
        ("Sun Mar  1 12:01:30 2026", 90),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90),
        ("\u0661\u0662\u0660", 30),
        ("5", 30),
        ("120", 120),
        ("9" * 400, LONGEST_SECONDS),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 30),
        ("Mon, 99999999999999999999 Jan 2026 00:00:00 GMT", 30),
        ("Mon, 1 Jan 2026 00:00:00 +99999999999999999999", 30),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_SECONDS),
    ],
)
def test_the_later_of_the_ladder_and_retry_after_counts(retry_after: str | None, seconds: float) -> None:
    assert wait_seconds(30, retry_after, NOW) == seconds
