"""Rate limiting of the lines that a sandbox's network writes to the log of the running job."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

LogLine: TypeAlias = Callable[[str], Awaitable[None] | None]
"""Logs a line, called in the egress loop; may return an awaitable that ends when the line was processed."""

LINES_PER_WINDOW: Final = 20
WINDOW_SECONDS: Final = 10.0
_PROCESSED_SECONDS: Final = 2.0


class LogLimiter:
    """Passes up to `LINES_PER_WINDOW` lines on in each window, and reports how many were dropped."""

    def __init__(self, log_line: LogLine, clock: Callable[[], float]) -> None:
        self._log_line = log_line
        self._clock = clock
        self._since = clock()
        self._written = self._dropped = 0

    async def write_and_wait(self, line: str) -> None:
        """Log the line and wait, for a bounded time, until it was processed."""
        processed = self.write(line)
        if processed is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(processed, _PROCESSED_SECONDS)

    def write(self, line: str) -> Awaitable[None] | None:
        """Log the line, or count it as dropped."""
        now = self._clock()
        if now - self._since >= WINDOW_SECONDS:
            if self._dropped:
                self._log_line(f"network: {self._dropped} more lines like the ones before were left out")
            self._since, self._written, self._dropped = now, 0, 0
        if self._written == LINES_PER_WINDOW:
            self._dropped += 1
            return None
        self._written += 1
        processed = self._log_line(f"network: {line}")
        if self._written == LINES_PER_WINDOW:
            self._log_line(f"network: further lines are left out for {WINDOW_SECONDS:g} seconds")
        return processed
