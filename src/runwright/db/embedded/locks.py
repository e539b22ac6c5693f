"""File locks that die with the process that holds them, so that nothing can go stale."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

RETRY_SECONDS: Final = 0.02


class LockTimeoutError(TimeoutError):
    """Somebody else holds the lock for longer than we would wait."""


class FileLock:
    """An flock on a file of its own. `open` first; closing it, or dying, lets go of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The open file, for a child that shall hold the lock too."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self._fd

    def try_exclusive(self) -> bool:
        """Take it alone, if nobody else has it; a shared hold of ours becomes exclusive."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take it together with others, if nobody has it alone."""
        return self._try(fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of it. A child that inherited it keeps holding it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def exclusive_within(self, seconds: float) -> None:
        """Take it alone, waiting for others; LockTimeoutError when they take too long.

        Asked for again and again rather than waited for in a thread, which could not be cancelled.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.try_exclusive():
            if loop.time() >= deadline:
                raise LockTimeoutError(f"{self._path} is held by another process")
            await asyncio.sleep(RETRY_SECONDS)

    def _try(self, mode: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self.fd, mode | fcntl.LOCK_NB)
            return True
        return False


@contextlib.asynccontextmanager
async def exclusive(path: Path, within_seconds: float) -> AsyncIterator[None]:
    """Hold a lock file alone for the length of a block."""
    lock = FileLock(path)
    try:
        await lock.exclusive_within(within_seconds)
        yield
    finally:
        lock.close()
