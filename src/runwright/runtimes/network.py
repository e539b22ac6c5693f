"""The network of one sandbox as its executor sees it: a door, and lines for the log of the running job."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from runwright.runtimes.egress import Door, Egress


class Network:
    """Has no door where sandboxes have no way out."""

    __slots__ = ("_hear", "_lines", "_loop", "door")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, hear: Callable[[], None]) -> None:
        self._loop = loop
        self._hear = hear
        self._lines: deque[str] = deque()
        self.door: Door | None = None

    def open(self, egress: Egress) -> None:
        """Get a door."""
        self.door = egress.open(self._say)

    def serve(self, network: object) -> None:
        """Let the sandbox reach what the worker's field `network` asks for."""
        if self.door is not None:
            self.door.serve(network)

    def take(self) -> list[str]:
        """Return what was said since the last time."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines

    def close(self) -> None:
        """End every connection; safe twice."""
        if self.door is not None:
            self.door.close()

    def _say(self, line: str) -> None:
        """Hear of it in the egress thread, and pass it on.

        The line waits in a queue of its own, so that a job which ends because of it finds it there
        before its end, in whatever order the loop hears of both.
        """
        self._lines.append(line)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hear)
