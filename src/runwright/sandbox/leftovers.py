"""The threads that a job has left in its sandbox, compared with those that were there after boot.

Runtimes and libraries start threads of their own and keep them (the pool of libuv, numpy's, an executor of
asyncio), so a thread that waits is no reason to discard a sandbox. One that works on after its job is.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

MAX_LEFT_TASKS: Final = 32
"""How many threads and dead children more than after boot a sandbox may keep: a quarter of its limit."""
BUSY_SECONDS: Final = 0.005
"""CPU time after a job's end from which on its threads are still at work."""
_NANOSECONDS: Final = 1e-9


class HarnessThreads:
    """The threads of one harness process; made when it has booted and no user code has run."""

    def __init__(self, pid: int) -> None:
        self._folder = f"/proc/{pid}/task"
        self._boot = frozenset(self._names())
        self._before = 0.0

    def job_ended(self, *, none_left: bool) -> None:
        """Measure from now on what the threads do that a job has left, unless it surely left none."""
        self._before = 0.0 if none_left else self._seconds()

    def are_busy(self) -> bool:
        """Return whether threads that a job has left worked on after `job_ended`."""
        return self._seconds() - self._before > BUSY_SECONDS

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)  # noqa: PTH208  a listing, no paths
        except OSError:
            return []

    def _seconds(self) -> float:
        """Return the CPU time of the threads that were not there after boot."""
        try:
            if os.stat(self._folder).st_nlink - 2 <= len(self._boot):  # noqa: PTH116  on the path of a job
                return 0.0
        except OSError:
            return 0.0
        total = 0
        for name in set(self._names()) - self._boot:
            with contextlib.suppress(OSError):
                total += int(Path(self._folder, name, "schedstat").read_text().split()[0])
        return total * _NANOSECONDS
