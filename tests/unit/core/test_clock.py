"""The clock's promise: now, in UTC, to the millisecond, never naive."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from runwright.core.clock import Stopwatch, system_clock


@pytest.fixture(params=["UTC", "Asia/Kathmandu", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A local time zone of the process, for as long as the test runs."""
    monkeypatch.setitem(os.environ, "TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_the_clock_is_in_utc_whatever_the_zone_of_the_process() -> None:
    now = system_clock()
    assert now.tzinfo is UTC
    assert now.utcoffset() == timedelta(0)


@pytest.mark.usefixtures("zone")
def test_the_clock_tells_the_current_time_to_the_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    now = system_clock()
    after = time.time_ns() // 1_000_000
    since_1970 = now - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds, rest = divmod(since_1970, timedelta(milliseconds=1))
    assert rest == timedelta(0)
    assert before <= milliseconds <= after


def test_a_stopwatch_counts_from_its_creation() -> None:
    before = time.monotonic()
    watch = Stopwatch()
    created = time.monotonic()
    while time.monotonic() == created:  # until there is a difference to see
        pass
    read = time.monotonic()
    seconds = watch.seconds()
    assert read - created <= seconds <= time.monotonic() - before
    assert watch.seconds() >= seconds
