"""A timer for deadlines that are set much more often than they are reached."""

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """A timer that is cheap to set again: it calls back at the time that was set, or earlier.

    A time later than the one already set costs a comparison, so jobs that end long before their deadline
    never touch the loop's timers. The callback checks what is due and sets the timer again.
    """

    __slots__ = ("_at", "_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def set(self, at: float) -> None:
        """Call back at that time of the loop, or earlier."""
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._run)

    def cancel(self) -> None:
        """Do not call back."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        self._handle = None
        self._callback()
