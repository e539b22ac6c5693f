"""Lines about refused connections of a sandbox, on their way to the log of the job that made them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from runwright.runtimes.pool.running_job import RunningJob

LogLine = Callable[[str], Awaitable[None] | None]
"""Adds a line to the log of a job; the result completes when the line is received."""


class NetworkLog:
    """Lines about refused connections, for the log of the job that made them.

    Other jobs may wait behind that job in the sandbox's socket, and frames arrive by another way than these
    lines. So egress delays the refused connection until the executor has received the line: by then the
    executor has read every frame that was sent before, and the job that waits for the connection is the
    one that runs.
    """

    __slots__ = ("_lines", "_loop", "_received", "early")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, received: Callable[[], None]) -> None:
        self._loop = loop
        self._received = received
        self._lines: deque[str] = deque()
        self.early: list[str] = []
        """Lines for the job that is about to start: its code is being loaded."""

    def deliver(self, job: RunningJob | None, *, at: datetime, starting: bool) -> None:
        """Write the lines to the log of the running job, or keep them for the job that is starting."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if job is not None:
            _write(job, lines, at)
        elif starting:
            self.early += lines

    def deliver_early(self, job: RunningJob, at: datetime) -> None:
        """Write the lines that were kept for the job that has just started."""
        lines, self.early = self.early, []
        _write(job, lines, at)

    def add(self, line: str) -> Awaitable[None] | None:
        """Add a line, in the egress thread; the result completes when the executor has received it."""
        self._lines.append(line)
        egress_loop = asyncio.get_running_loop()
        received = egress_loop.create_future()
        try:
            self._loop.call_soon_threadsafe(self._receive, egress_loop, received)
        except RuntimeError:  # the executor's loop has ended
            return None
        return received

    def _receive(self, egress_loop: asyncio.AbstractEventLoop, received: asyncio.Future[None]) -> None:
        self._received()
        with contextlib.suppress(RuntimeError):  # the egress loop has ended
            egress_loop.call_soon_threadsafe(_resolve, received)


def _write(job: RunningJob, lines: list[str], at: datetime) -> None:
    for line in lines:
        job.write(at, "warn", line.encode())


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
