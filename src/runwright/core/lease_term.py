"""How long this process may act as the owner of its jobs, for threads and processes that do not renew it."""

import math
import time
from collections.abc import Callable


class LeaseTerm:
    """The end of a lease on the monotonic clock, which all processes of a host share.

    It never ends before the first `set_end`, for pools that run without a lease. It may be read and set in
    any thread. A process that was stopped for longer than its lease reads here that the lease is over,
    before anything else in it has noticed.
    """

    def __init__(self) -> None:
        self.ends = math.inf
        """When it ends, in the time of `time.monotonic`."""
        self._observers: list[Callable[[float], None]] = []

    def held(self) -> bool:
        """Return whether the lease is not over now."""
        return time.monotonic() < self.ends

    def set_end(self, ends: float) -> None:
        """Set the end after a renewal; `-math.inf` when the lease is lost."""
        self.ends = ends
        for observer in tuple(self._observers):
            observer(ends)

    def subscribe(self, observer: Callable[[float], None]) -> None:
        """Call `observer` with each new end, in the thread that sets it."""
        self._observers.append(observer)

    def unsubscribe(self, observer: Callable[[float], None]) -> None:
        """Stop calling `observer`."""
        self._observers.remove(observer)
