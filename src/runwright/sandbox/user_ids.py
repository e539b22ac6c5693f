"""The uids of sandboxes: no two sandboxes of a host have the same one at once, whichever servers they are of.

A sandbox without a cgroup is ended by its uid: if another had the same one, both would end. So a server takes
blocks of uids, each by the lock of a file, which ends with the server whatever ends that.
"""

import contextlib
import errno
import fcntl
import os
import pwd
import secrets
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

FIRST_UID: Final = 60_000
"""Of the host's uids; the first block is for what tries out the sandbox before there are servers."""
BLOCK_UIDS: Final = 32
BLOCKS: Final = 160
"""The last one ends at 65,119: the highest uids belong to the system."""
LOCK_FOLDER: Final = Path("/run/runwright-uids")
_NOWHERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}
"""A host where nothing can be written there, such as a container with one server."""


class UserIds:
    """Uids for the sandboxes of one server; `folder` has the locks of all servers of the host."""

    def __init__(self, folder: Path = LOCK_FOLDER) -> None:
        self._folder = folder
        self._locks: list[int] = []
        self._taken: set[int] = set()
        """The blocks of this server."""
        self._free: list[int] = []

    def take(self, unusable: Callable[[], AbstractSet[int]] = frozenset) -> int:
        """Return a uid that no other sandbox and no account of the host has, and that is not `unusable`.

        OSError if there is none.
        """
        kept = unusable()
        while True:
            for place in range(len(self._free) - 1, -1, -1):
                if self._free[place] not in kept:
                    return self._free.pop(place)
            self._take_block()

    def give_back(self, uid: int) -> None:
        """Let the uid be used again: no process has it any more."""
        self._free.append(uid)

    def close(self) -> None:
        """Leave the uids to other servers; no sandbox may be left."""
        while self._locks:
            os.close(self._locks.pop())
        self._taken.clear()
        self._free.clear()

    def _take_block(self) -> None:
        """Take a free block.

        The search begins anywhere: containers share the uids of the host, but not the locks.
        """
        for block in _from_anywhere():
            if block not in self._taken and self._lock(block):
                self._taken.add(block)
                first = FIRST_UID + block * BLOCK_UIDS
                self._free += [uid for uid in range(first, first + BLOCK_UIDS) if not _has_account(uid)]
                return
        raise OSError("every uid that sandboxes may have is in use, or the kernel keeps keys of it")

    def _lock(self, block: int) -> bool:
        """Lock the file of a block; False where another server has it."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self._folder / str(block), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks.append(lock)
        return True


def _from_anywhere() -> Iterator[int]:
    begin = secrets.randbelow(BLOCKS - 1)
    return (1 + (begin + step) % (BLOCKS - 1) for step in range(BLOCKS - 1))


def _has_account(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        pwd.getpwuid(uid)
        return True
    return False
