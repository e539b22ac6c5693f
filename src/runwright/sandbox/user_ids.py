"""The uids of sandboxes: no two sandboxes of a host have the same one at once, whichever servers they are of.

A sandbox without a cgroup is ended by its uid: if another had the same one, both would end. So a server takes
blocks of uids by locking a byte of a file for each, which the kernel unlocks when the server ends, however.
"""

import contextlib
import errno
import fcntl
import os
import pwd
import secrets
import struct
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

FIRST_UID: Final = 60_000
"""Of the host's uids; the first block is for what tries out the sandbox before there are servers."""
BLOCK_UIDS: Final = 32
BLOCKS: Final = 160
"""The last one ends at 65,119: the highest uids belong to the system."""
LOCK_FILE: Final = Path("/run/runwright-uids.lock")
_NOWHERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}
"""A host where nothing can be written there, such as a container with one server."""
_FLOCK: Final = struct.Struct("hhqqi4x")
"""The kernel's `struct flock`: type, whence, start, length, pid."""


class UserIds:
    """Uids for the sandboxes of one pool; `file` has the locks of all pools of the host."""

    def __init__(self, file: Path = LOCK_FILE) -> None:
        self._file = file
        self._lock = -1
        self._taken: set[int] = set()
        """The blocks of this pool."""
        self._free: list[int] = []

    def open(self) -> None:
        """Open the file; without one, as in a container with nothing to write to, blocks are not locked."""
        try:
            self._lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise

    def close(self) -> None:
        """Leave the uids to other pools; no sandbox may be left."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._taken.clear()
        self._free.clear()

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

    def _take_block(self) -> None:
        """Take a free block.

        The search begins anywhere: containers share the uids of the host, but not the locks.
        """
        for block in _from_anywhere():
            if block not in self._taken and self._lock_block(block):
                self._taken.add(block)
                first = FIRST_UID + block * BLOCK_UIDS
                self._free += [uid for uid in range(first, first + BLOCK_UIDS) if not _has_account(uid)]
                return
        raise OSError("every uid that sandboxes may have is in use, or the kernel keeps keys of it")

    def _lock_block(self, block: int) -> bool:
        """Lock the byte of a block; False where another pool has it. The lock is the open file's."""
        if self._lock < 0:
            return True
        try:
            fcntl.fcntl(self._lock, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, block, 1, 0))
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            return False
        return True


def _from_anywhere() -> Iterator[int]:
    begin = secrets.randbelow(BLOCKS - 1)
    return (1 + (begin + step) % (BLOCKS - 1) for step in range(BLOCKS - 1))


def _has_account(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        pwd.getpwuid(uid)
        return True
    return False
