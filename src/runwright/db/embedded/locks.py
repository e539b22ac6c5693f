"""File locks that are released when the process that holds them ends, so they cannot go stale."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

RETRY_SECONDS: Final = 0.02


class LockTimeoutError(TimeoutError):
    """Another process held the lock for longer than the timeout."""


class FileLock:
    """An flock on a file of its own; released by `close` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """Return the open file, for a child process that is to hold the lock too."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self._fd

    def try_exclusive(self) -> bool:
        """Acquire the exclusive lock if it is free; a shared lock of ours is upgraded. Return whether."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Acquire a shared lock unless another process holds it exclusively. Return whether."""
        return self._try(fcntl.LOCK_SH)

    def close(self) -> None:
        """Release it. A child process that inherited it keeps holding it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def exclusive_within(self, seconds: float) -> None:
        """Acquire the exclusive lock; LockTimeoutError when it is not free within `seconds`.

        It polls, because a thread that blocks in flock could not be cancelled.
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
    """Hold the exclusive lock of a file for the length of a block."""
    lock = FileLock(path)
    try:
        await lock.exclusive_within(within_seconds)
        yield
    finally:
        lock.close()
