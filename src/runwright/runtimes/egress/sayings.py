"""What is said of a sandbox's network to the log of its job: all that matters, not all there is."""

from collections.abc import Callable
from typing import Final

SAYINGS: Final = 20
"""Lines that are said in a window."""
WINDOW_SECONDS: Final = 10.0


class Sayings:
    """Says lines as long as they are not too many, and then how many were left out."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._since = clock()
        self._said = self._unsaid = 0

    def say(self, line: str) -> None:
        """Say the line, or count it."""
        now = self._clock()
        if now - self._since >= WINDOW_SECONDS:
            if self._unsaid:
                self._say(f"network: {self._unsaid} more lines like the ones before were left out")
            self._since, self._said, self._unsaid = now, 0, 0
        if self._said < SAYINGS:
            self._said += 1
            self._say(f"network: {line}")
            if self._said == SAYINGS:
                self._say(f"network: further lines are left out for {WINDOW_SECONDS:g} seconds")
        else:
            self._unsaid += 1
