"""What is said of a sandbox's network to the log of its job: all that matters, not all there is."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

Say: TypeAlias = Callable[[str], Awaitable[None] | None]
"""Takes a line, in the egress loop; may answer with what to wait for until it has been heard."""

SAYINGS: Final = 20
"""Lines that are said in a window."""
WINDOW_SECONDS: Final = 10.0
_HEARD_SECONDS: Final = 2.0


class LogLimiter:
    """Says lines as long as they are not too many, and then how many were left out."""

    def __init__(self, say: Say, clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._since = clock()
        self._said = self._unsaid = 0

    async def tell(self, line: str) -> None:
        """Say the line and wait until it has been heard, but not for long."""
        heard = self.say(line)
        if heard is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard, _HEARD_SECONDS)

    def say(self, line: str) -> Awaitable[None] | None:
        """Say the line, or count it."""
        now = self._clock()
        if now - self._since >= WINDOW_SECONDS:
            if self._unsaid:
                self._say(f"network: {self._unsaid} more lines like the ones before were left out")
            self._since, self._said, self._unsaid = now, 0, 0
        if self._said == SAYINGS:
            self._unsaid += 1
            return None
        self._said += 1
        heard = self._say(f"network: {line}")
        if self._said == SAYINGS:
            self._say(f"network: further lines are left out for {WINDOW_SECONDS:g} seconds")
        return heard
