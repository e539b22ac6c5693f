"""Merges notifications of one kind: sent at once while few come, and less often under load.

NOTIFY takes a database-wide lock at commit, so what follows a notification within a window is merged into
one more at its end. What waits for the end of a window is that much later; so the window is short, and grows
only while so many come that they wait longer for something else anyway.
"""

import asyncio
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = (0.001, 0.02)
"""The shortest and the longest window."""

MANY_PER_SECOND: Final = 2000
"""The window doubles while announcements come faster than this, and else is halved."""


class Announcer:
    """Calls `send` for announcements."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._window = WINDOW_SECONDS[0]
        self._merged = 0
        self._timer: asyncio.TimerHandle | None = None

    def announce(self) -> None:
        """Send one now, or at the end of the window."""
        self._merged += 1
        if self._timer is None:
            self._send_now()

    def stop(self) -> None:
        """Drop the one that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_now(self) -> None:
        self._merged = 0
        self._timer = asyncio.get_running_loop().call_later(self._window, self._end_window)
        self._send()

    def _end_window(self) -> None:
        self._timer = None
        least, most = WINDOW_SECONDS
        many = self._merged > MANY_PER_SECOND * self._window
        self._window = min(2 * self._window, most) if many else max(self._window / 2, least)
        if self._merged:
            self._send_now()
