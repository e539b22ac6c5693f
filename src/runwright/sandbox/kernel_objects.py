"""Count what sandboxes have of the kernel that no limit charges, and report one that has too much.

Connections that were not accepted yet belong to no process: the kernel does not charge their memory, and
no limit of open files counts them. Record locks are not charged either. Their number is all that can be
bounded.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from runwright.sandbox.file_locks import MAX_FILE_LOCKS, locks_by_process

MAX_TCP_SOCKETS: Final = 2048
"""Of one sandbox, including both ends of connections to itself or to the proxy, and unaccepted ones."""
TOO_MANY_SOCKETS: Final = f"more than {MAX_TCP_SOCKETS} TCP sockets"
TOO_MANY_LOCKS: Final = f"more than {MAX_FILE_LOCKS} file locks"
INTERVAL_SECONDS: Final = 0.25
_TABLE_BYTES: Final = 1024


class SocketTables:
    """The open files in which the kernel shows how many sockets a network namespace has."""

    def __init__(self, pid: int) -> None:
        """OSError where the process is gone or may not be inspected.

        Empty where it is in this process's own namespace, whose sockets are not a sandbox's.
        """
        self._files: list[int] = []
        if _namespace(str(pid)) == _namespace("self"):
            return
        for name in ("sockstat", "sockstat6"):
            with contextlib.suppress(FileNotFoundError):  # a host without IPv6
                self._files.append(os.open(f"/proc/{pid}/net/{name}", os.O_RDONLY | os.O_CLOEXEC))

    def tcp_sockets(self) -> int:
        """Return the number of TCP sockets, without those that have ended on both sides."""
        return sum(_in_use(os.pread(file, _TABLE_BYTES, 0)) for file in self._files)

    def close(self) -> None:
        """Close the files, without which the namespace could not end."""
        while self._files:
            os.close(self._files.pop())


def _namespace(process: str) -> str:
    return os.readlink(f"/proc/{process}/ns/net")  # noqa: PTH115  a name, no path


def _in_use(table: bytes) -> int:
    for line in table.splitlines():
        words = line.split()
        if words[:2] in ([b"TCP:", b"inuse"], [b"TCP6:", b"inuse"]):
            return int(words[2])
    return 0


class _Watched(NamedTuple):
    tables: SocketTables
    members: Callable[[], list[int]]
    on_exceeded: Callable[[str], None]


class KernelObjectWatch:
    """A thread that counts the sockets and locks of all sandboxes four times a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, pid: int, members: Callable[[], list[int]], on_exceeded: Callable[[str], None]) -> None:
        """Watch the namespace of a process and the processes that `members` returns.

        `on_exceeded` is called once, in the watching thread, with what there is too much of.
        """
        try:
            tables = SocketTables(pid)
        except OSError:
            return
        with self._lock:
            self._watched[pid] = _Watched(tables, members, on_exceeded)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="runwright-kernel-objects", daemon=True
                )
                self._thread.start()

    def discard(self, pid: int) -> None:
        """Stop watching the namespace of a process."""
        with self._lock:
            watched = self._watched.pop(pid, None)
            if watched is not None:
                watched.tables.close()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        for pid in list(self._watched):
            self.discard(pid)

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            locks = locks_by_process(MAX_FILE_LOCKS)
            for pid in list(self._watched):
                self._count(pid, locks)

    def _count(self, pid: int, locks: Counter[int]) -> None:
        with self._lock:
            watched = self._watched.get(pid)
            if watched is None:
                return
            too_many = TOO_MANY_SOCKETS if watched.tables.tcp_sockets() > MAX_TCP_SOCKETS else None
        if locks and sum(locks[member] for member in watched.members()) > MAX_FILE_LOCKS:
            too_many = TOO_MANY_LOCKS
        if too_many is not None:
            self.discard(pid)
            watched.on_exceeded(too_many)
