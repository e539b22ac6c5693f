"""The network of one sandbox as its executor sees it: a door, and lines for the log of the running job.

A line must stand in the log of the job that met the refusal, though other jobs may wait behind it in
the sandbox's socket and the frames of both come by another way. So the refused connection is kept
waiting until the executor has heard the line: by then it has read every frame that was sent before,
and the job that waits for the connection is the one that runs.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from runwright.egress import Egress, SandboxNetwork


class JobNetwork:
    """Has no door where sandboxes have no way out."""

    __slots__ = ("_early", "_hear", "_lines", "_loop", "door")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, hear: Callable[[], None]) -> None:
        self._loop = loop
        self._hear = hear
        self._lines: deque[str] = deque()
        self._early: list[str] = []
        self.door: SandboxNetwork | None = None

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

    def keep(self) -> None:
        """Keep what was said for the run that is about to begin: its code is being loaded."""
        self._early += self.take()

    def take_early(self) -> list[str]:
        """Return what was kept."""
        early, self._early = self._early, []
        return early

    def close(self) -> None:
        """End every connection; safe twice."""
        if self.door is not None:
            self.door.close()

    def _say(self, line: str) -> Awaitable[None] | None:
        """Hear of it in the egress thread and pass it on; the answer is when that has been heard."""
        self._lines.append(line)
        theirs = asyncio.get_running_loop()
        heard = theirs.create_future()
        try:
            self._loop.call_soon_threadsafe(self._pass_on, theirs, heard)
        except RuntimeError:  # the executor's loop has ended
            return None
        return heard

    def _pass_on(self, theirs: asyncio.AbstractEventLoop, heard: asyncio.Future[None]) -> None:
        self._hear()
        with contextlib.suppress(RuntimeError):  # the egress loop has ended
            theirs.call_soon_threadsafe(_resolve, heard)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
