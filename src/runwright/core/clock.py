"""Clocks. Code that needs the current time is given a clock, so that tests can control it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the current time in UTC, truncated to milliseconds, as in the API and in ids."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


class Stopwatch:
    """Measures elapsed time from its creation on; changes of the system clock do not affect it."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return how many seconds have passed."""
        return time.monotonic() - self._began
