"""How often to look whether a run is over: seldom while much is left, often towards the end.

So the looks weigh little on what is measured, and the end is seen within two or three hundredths of a second.
"""

import time
from typing import Final

SHORTEST_SECONDS: Final = 0.02
FIRST_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 0.3
STALL_SECONDS: Final = 60.0


class Pace:
    """Remembers how much was left at each look."""

    def __init__(self) -> None:
        self._began = self._changed = time.monotonic()
        self._first: int | None = None
        self._last: int | None = None

    @property
    def stalled(self) -> bool:
        """Tell whether nothing has changed for a long time."""
        return time.monotonic() - self._changed > STALL_SECONDS

    def pause_after(self, left: int) -> float:
        """Return how long to wait before the next look: a third of what the rest seems to need."""
        now = time.monotonic()
        if left != self._last:
            self._last, self._changed = left, now
        if self._first is None:
            self._first, self._began = left, now
        done = self._first - left
        if done <= 0:
            return FIRST_SECONDS
        return min(max(left * (now - self._began) / done / 3, SHORTEST_SECONDS), LONGEST_SECONDS)
