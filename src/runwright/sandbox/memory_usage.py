"""How much memory a tree of processes holds, where no cgroup counts it.

Cheap first: resident memory as each process states it, where pages that several share count for
each of them, and all files that live in memory. Only a tree that is over its limit by that
measure is looked at page by page, each shared page counted once (but a file in memory that is
mapped counts as both). Out of sight are descriptors on their way through a socket and what the
kernel itself keeps for open ones; a cgroup counts both.
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runwright.sandbox.bubblewrap import MEMORY_FOLDERS

_INODE_BYTES: Final = 1024
"""What the kernel keeps for an empty file in memory, about."""
_BLOCK: Final = 512
_SYSTEM_V: Final = {"shm": 1, "msg": 1, "sem": 64}
"""What one unit in the fourth column of these tables holds."""
_SIZE_COLUMN: Final = 3
_NEW_IPC: Final = 0x08000000
_NAMELESS: Final = "/memfd:"


def held_bytes(root: int, pids: Iterable[int], limit: int, *, wrapped: bool) -> int:
    """Return what these hold; exact only where it is above the limit."""
    found = list(pids)
    files = sum(_nameless_files(found).values()) + (_folder_bytes(root) if wrapped else 0)
    rough = files + sum(map(_resident_bytes, found))
    return rough if rough <= limit else files + sum(map(_share_bytes, found))


def _resident_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def _share_bytes(pid: int) -> int:
    """Return a process's share of the memory that has no file on a disk."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident_bytes(pid)
    return sum(int(x.split()[1]) * 1024 for x in lines if x.startswith(("Pss_Anon:", "Pss_Shmem:")))


def _nameless_files(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Return the sizes of the files without a name that the processes have open."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  by the thousand
                path = f"/proc/{pid}/fd/{name}"
                with contextlib.suppress(OSError):
                    if os.readlink(path).startswith(_NAMELESS):  # noqa: PTH115  as above
                        found = os.stat(path)  # noqa: PTH116  as above
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return sizes


def _folder_bytes(root: int) -> int:
    """Return what the folders hold that are memory; until they are mounted, the host's are in their place."""
    total = 0
    for folder in MEMORY_FOLDERS:
        with contextlib.suppress(OSError):
            found = os.statvfs(f"/proc/{root}/root{folder.path}")
            if found.f_blocks * found.f_frsize <= folder.size_bytes:
                total += (found.f_blocks - found.f_bfree) * found.f_frsize
                total += (found.f_files - found.f_ffree) * _INODE_BYTES
    return total


def system_v_bytes(root: int) -> int:
    """Return what System V objects of a process's namespace hold, attached by anybody or by nobody.

    They are shown only to who is inside, so a thread goes there for a moment; that takes the
    rights of root. Where a filter denies the calls that make them there is nothing to see.
    """
    seen: list[int] = []
    looker = threading.Thread(target=_look_inside, args=(root, seen), name="system-v")
    looker.start()
    looker.join()
    return sum(seen)


def _look_inside(root: int, seen: list[int]) -> None:
    library = ctypes.CDLL(None)
    with contextlib.suppress(OSError, ValueError), Path(f"/proc/{root}/ns/ipc").open("rb") as namespace:
        if library.setns(namespace.fileno(), _NEW_IPC) == 0:
            for kind, unit_bytes in _SYSTEM_V.items():
                rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
                seen.extend(int(row.split()[_SIZE_COLUMN]) * unit_bytes for row in rows)
