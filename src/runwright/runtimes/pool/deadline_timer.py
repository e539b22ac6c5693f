"""A timer that is set again and again at little cost."""

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """Rings at the time that was set or earlier; whoever hears it looks what is due and sets it again.

    A time later than the one already set costs a comparison, so jobs that end long before
    their deadline never touch the loop's timers.
    """

    __slots__ = ("_at", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def set(self, at: float) -> None:
        """Ring at that time, in the loop's seconds, or earlier."""
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._rung)

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _rung(self) -> None:
        self._handle = None
        self._ring()
