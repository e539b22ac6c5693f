"""Memory usage of a process tree, for hosts without cgroups.

The cheap measure comes first: the resident memory of each process, which counts shared pages once per
process, all files in memory, and what sockets and pipes hold. Only a tree over its limit by that
measure is measured by proportional set size, which counts each shared page once (but a mapped file in
memory twice). Not visible are descriptors in transit through a socket and the kernel's structures for open
ones; a cgroup counts both.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import termios
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from runwright.sandbox.bubblewrap import MEMORY_FOLDERS

_INODE_BYTES: Final = 1024
"""The kernel's memory for an empty file in a tmpfs, approximately."""
_BLOCK: Final = 512
_SYSTEM_V: Final = {"shm": 1, "msg": 1, "sem": 64}
"""The bytes that one unit in the fourth column of these tables represents."""
_SIZE_COLUMN: Final = 3
_NEW_IPC: Final = 0x08000000
_MEMFD_PREFIX: Final = "/memfd:"
_CHANNEL_PREFIXES: Final = ("socket:", "pipe:")
_PIDFD_GETFD: Final = 438
_SO_MEMINFO: Final = 55
_MEMORY_INFORMATION: Final = struct.Struct("8I")
"""Bytes received, limit, sent, limit, reserved, queued, of options, of the backlog."""
_INT: Final = struct.Struct("i")
_library: Final = ctypes.CDLL(None, use_errno=True)


def used_bytes(root: int, pids: Iterable[int], limit: int, *, wrapped: bool) -> int:
    """Return the memory that processes use; exact only where it is above the limit."""
    processes = list(pids)
    files = sum(unnamed_objects(processes).values()) + (_folder_bytes(root) if wrapped else 0)
    resident = files + sum(map(_resident_bytes, processes))
    return resident if resident <= limit else files + sum(map(_proportional_bytes, processes))


def _resident_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def _proportional_bytes(pid: int) -> int:
    """Return the proportional set size of a process's memory that no file on a disk backs."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident_bytes(pid)
    return sum(int(x.split()[1]) * 1024 for x in lines if x.startswith(("Pss_Anon:", "Pss_Shmem:")))


def unnamed_objects(pids: Iterable[int]) -> dict[str, int]:
    """Return the memory of the memfds, sockets and pipes that the processes have open, by their names."""
    sizes: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError), _open_pid(pid) as pidfd:
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  thousands of entries
                with contextlib.suppress(OSError):
                    path = f"/proc/{pid}/fd/{name}"
                    link = os.readlink(path)  # noqa: PTH115  as above
                    if link.startswith(_MEMFD_PREFIX):
                        found = os.stat(path)  # noqa: PTH116  as above
                        sizes[f"{found.st_dev} {found.st_ino}"] = found.st_blocks * _BLOCK
                    elif link.startswith(_CHANNEL_PREFIXES) and link not in sizes:
                        sizes[link] = _channel_bytes(pidfd, int(name), link)
    return sizes


@contextlib.contextmanager
def _open_pid(pid: int) -> Iterator[int]:
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _channel_bytes(pidfd: int, number: int, link: str) -> int:
    """Return what a socket or a pipe of another process holds; OSError where it cannot be inspected."""
    copy = _library.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), link)
    try:
        if link.startswith("pipe:"):
            waiting = fcntl.ioctl(copy, termios.FIONREAD, bytes(_INT.size))
            return int(_INT.unpack(waiting)[0])
        with socket.socket(fileno=os.dup(copy)) as one:
            memory = _MEMORY_INFORMATION.unpack(
                one.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY_INFORMATION.size)
            )
        received, _, sent, _, reserved, queued, options, backlog = memory
        return int(received + max(sent, queued) + reserved + options + backlog)
    finally:
        os.close(copy)


def _folder_bytes(root: int) -> int:
    """Return the memory that the writable folders use.

    Until they are mounted, the paths lead to the host's folders, which are larger.
    """
    total = 0
    for folder in MEMORY_FOLDERS:
        with contextlib.suppress(OSError):
            found = os.statvfs(f"/proc/{root}/root{folder.path}")
            if found.f_blocks * found.f_frsize <= folder.size_bytes:
                total += (found.f_blocks - found.f_bfree) * found.f_frsize
                total += (found.f_files - found.f_ffree) * _INODE_BYTES
    with contextlib.suppress(OSError):
        # What is written into an overlay is in the memory that holds the root folder.
        if os.stat(f"/proc/{root}/root/").st_dev != os.stat("/").st_dev:  # noqa: PTH116  as above
            found = os.statvfs(f"/proc/{root}/root/")
            total += (found.f_blocks - found.f_bfree) * found.f_frsize
    return total


def system_v_bytes(root: int) -> int:
    """Return the memory of the System V objects in a process's ipc namespace, attached or not.

    They are visible only from inside, so a thread enters the namespace; that requires root. Where the
    seccomp filter denies the calls that make them there are none.
    """
    sizes: list[int] = []
    reader = threading.Thread(target=_read_system_v, args=(root, sizes), name="system-v")
    reader.start()
    reader.join()
    return sum(sizes)


def _read_system_v(root: int, sizes: list[int]) -> None:
    library = ctypes.CDLL(None)
    with contextlib.suppress(OSError, ValueError), Path(f"/proc/{root}/ns/ipc").open("rb") as namespace:
        if library.setns(namespace.fileno(), _NEW_IPC) == 0:
            for kind, unit_bytes in _SYSTEM_V.items():
                rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
                sizes.extend(int(row.split()[_SIZE_COLUMN]) * unit_bytes for row in rows)
