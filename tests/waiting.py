"""Waits for what a server does in its own time: with an end, and without keeping the server busy with questions."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

PATIENCE_SECONDS: Final = 60.0
"""Far above what anything takes on a machine at load 30."""

_PAUSE_SECONDS: Final = 0.03
_DAY_SECONDS: Final = 86_400

T = TypeVar("T")


def until(read: Callable[[], T], done: Callable[[T], object], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Return what `read` returns once it is what was waited for; fail with what it was at the end."""
    deadline = time.monotonic() + seconds
    while not done(found := read()):
        assert time.monotonic() < deadline, f"It has not happened within {seconds} s: {found!r}"
        time.sleep(_PAUSE_SECONDS)
    return found


def eventually(read: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Return what `read` returns once it is something."""
    found = until(read, bool, seconds=seconds)
    assert found is not None
    return found


def daily_far_from_now() -> tuple[str, str]:
    """Return the cron expression of a time of day twelve hours from now in UTC, and that time as `14:05`."""
    hour, minute = divmod(int(time.time() + _DAY_SECONDS / 2) % _DAY_SECONDS // 60, 60)
    return f"{minute} {hour} * * *", f"{hour:02}:{minute:02}"


def let_midnight_pass(seconds: float = 30.0) -> None:
    """Wait for the next day in UTC where this one ends within that time, so that a test is of one day."""
    left = _DAY_SECONDS - time.time() % _DAY_SECONDS
    if left < seconds:
        time.sleep(left + 0.1)
