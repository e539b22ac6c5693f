"""Looking at a resource again and again until it has ended, more and more rarely."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from runwright.client.session import Session

T = TypeVar("T")

_FIRST_SECONDS: Final = 0.25
_GROWTH: Final = 1.5


def deadline_in(seconds: float | None) -> float | None:
    """Return the moment after so many seconds, by `time.monotonic`; None: there is no limit."""
    return None if seconds is None else time.monotonic() + seconds


async def poll_until(
    session: Session,
    resource: T,
    fetch: Callable[[], Awaitable[T]],
    *,
    ended: Callable[[T], bool],
    deadline: float | None,
    longest: float,
) -> T:
    """Return a resource when it has ended, or as it is at the deadline; `longest` is between two looks."""
    pause = _FIRST_SECONDS
    while not ended(resource):
        left = longest if deadline is None else deadline - time.monotonic()
        if left <= 0:
            break
        await session.sleep(min(pause, left))
        resource = await fetch()
        pause = min(pause * _GROWTH, longest)
    return resource
