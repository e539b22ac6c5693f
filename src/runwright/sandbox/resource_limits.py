"""The resource limits of one sandbox, and its processes: by a cgroup, or by a watchdog that reads /proc."""

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from runwright.sandbox.bubblewrap import DISK_BYTES
from runwright.sandbox.cgroups import MAX_TASKS, Cgroup
from runwright.sandbox.file_locks import has_too_many_locks
from runwright.sandbox.kernel_objects import (
    MAX_TCP_SOCKETS,
    TOO_MANY_LOCKS,
    TOO_MANY_SOCKETS,
    KernelObjectWatch,
    SocketTables,
)
from runwright.sandbox.leftovers import MAX_LEFT_TASKS
from runwright.sandbox.memory_usage import system_v_bytes, used_bytes

WATCH_SECONDS: Final = 0.1
_TASKS_OF_OURS: Final = 8
"""The watchdog counts bubblewrap's processes too, which the rlimit of a sandbox's own uid does not."""
_REST_FACTOR: Final = 3
"""The watchdog rests at least this many times as long as its last measurement took."""


LEFTOVER_PROCESSES: Final = "leftover processes"
LEFTOVER_THREADS: Final = "leftover threads"
_OPEN_FILES: Final = 1024
_CPU_SECONDS: Final = 2 * 3600
"""Of one process; above what any job may take, so that only a runaway process reaches it."""


class ResourceLimits(Protocol):
    """The limits of one sandbox, from before its first process until after its last."""

    def watch(self, on_exceeded: Callable[[str | None], None]) -> None:
        """Call back when the tree exceeds a limit that the kernel does not enforce; None means memory."""

    def inside(self) -> AbstractContextManager[None]:
        """Return a context in which processes started by this thread begin with the limits, if possible."""

    def adopt(self, pid: int) -> None:
        """Apply the limits to the process that will start the tree, so that the tree inherits them.

        May block, as `attach` may: must not be called in the event loop.
        """

    def attach(self, pid: int) -> None:
        """Apply the limits to the tree's root."""

    def limit_memory(self, limit: int) -> None:
        """Limit the memory of the tree from now on."""

    def limit_tasks(self, limit: int) -> None:
        """Limit the processes and threads of the tree from now on."""

    def deprioritize(self, *, enabled: bool) -> None:
        """Lower the tree's CPU priority, or restore it; may be called from any thread."""

    def out_of_memory(self) -> bool:
        """Return whether a process was killed because the tree was out of memory."""

    def settle(self, harness: int) -> None:
        """Record the current processes: the sandbox has booted, this harness, and no user code has run."""

    def unchanged(self) -> bool:
        """Return whether there surely is what was there when `settle` was called, and nothing more; cheap."""

    def leftovers(self) -> str | None:
        """Return what there is beside what was there when `settle` was called, if it is not to stay.

        Compared is always with that moment: what one job leaves is never taken for granted in the next.
        """

    def survivors(self) -> list[int]:
        """Return the processes of the tree."""

    def members(self) -> list[int]:
        """Return the processes of the tree as far as they are known; may be called from any thread."""

    def remove(self) -> bool:
        """Release what the host has for it; False: try again later."""


class CgroupLimits:
    """The limits of a sandbox in a cgroup; what it has no limit for is watched."""

    def __init__(self, group: Cgroup, kernel_objects: KernelObjectWatch | None = None) -> None:
        self._group = group
        self._kernel_objects = kernel_objects
        self._root = 0
        self._on_exceeded: Callable[[str], None] | None = None
        self._tasks = 0
        self._processes: frozenset[int] = frozenset()
        self._harness = 0
        self._harness_tasks = 0
        self._others_single = False
        self._born_inside = False

    def watch(self, on_exceeded: Callable[[str | None], None]) -> None:
        loop = asyncio.get_running_loop()

        def report(what: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(on_exceeded, what)

        self._on_exceeded = report

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        self._born_inside = self._group.enter()
        try:
            yield
        finally:
            if self._born_inside:
                self._group.leave()

    def adopt(self, pid: int) -> None:
        if not self._born_inside:
            self._group.attach(pid)

    def attach(self, pid: int) -> None:
        self.adopt(pid)
        if self._kernel_objects is not None and self._on_exceeded is not None:
            self._root = pid
            self._kernel_objects.add(pid, self.members, self._on_exceeded)

    def limit_memory(self, limit: int) -> None:
        self._group.limit_memory(limit)

    def limit_tasks(self, limit: int) -> None:
        self._group.limit_tasks(limit)

    def deprioritize(self, *, enabled: bool) -> None:
        self._group.deprioritize(enabled=enabled)

    def out_of_memory(self) -> bool:
        return self._group.oom_kills() > 0

    def settle(self, harness: int) -> None:
        self._tasks = self._group.tasks()
        self._processes = frozenset(self._group.processes())
        self._harness, self._harness_tasks = harness, _tasks(harness)
        self._others_single = self._tasks - self._harness_tasks == len(self._processes) - 1

    def unchanged(self) -> bool:
        # The processes of after boot end with the sandbox only. Where each but the harness has one thread,
        # and the harness has as many as after boot, none of what was counted can be gone, so nothing else
        # can hide behind the same number.
        if not self._others_single or self._group.tasks() > self._tasks:
            return False
        return self._harness_tasks == 1 or _tasks(self._harness) >= self._harness_tasks

    def leftovers(self) -> str | None:
        if self.unchanged():
            return None
        if not self._processes.issuperset(self._group.processes()):
            return LEFTOVER_PROCESSES
        return LEFTOVER_THREADS if self._group.tasks() > self._tasks + MAX_LEFT_TASKS else None

    def survivors(self) -> list[int]:
        return self._group.processes()

    def members(self) -> list[int]:
        return self._group.processes()

    def remove(self) -> bool:
        if self._kernel_objects is not None:
            self._kernel_objects.discard(self._root)
        return self._group.remove()


class WatchedLimits:
    """The limits of a sandbox without a cgroup: its memory is measured ten times a second.

    `wrapped`: it has writable folders in memory. `system_v`: it can make System V objects, and this
    process may read them. A process that leaves the tree (a daemon, without a pid namespace) is still
    known if it was seen once, or by its uid where the sandbox has one of its own. Such a uid has an rlimit
    for its processes and threads, if this process may set it: the next one cannot be started. Where
    sandboxes share a uid, that would count those of all of them. The tree is ended once it is seen to have
    more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        uid: int,
        wrapped: bool = False,
        system_v: bool = False,
        max_tasks: int = MAX_TASKS,
    ) -> None:
        self._loop = loop
        self._uid = uid
        self._wrapped = wrapped
        self._system_v = system_v
        self._on_exceeded: Callable[[str | None], None] | None = None
        self._root = 0
        self._limit = 0
        self._max_tasks = max_tasks
        self._timer: asyncio.TimerHandle | None = None
        self._seen: dict[int, str] = {}
        self._settled: frozenset[int] = frozenset()
        self._tasks = 0
        self._began = 0.0
        self._exceeded = self._removed = self._too_many_locks = False

    def watch(self, on_exceeded: Callable[[str | None], None]) -> None:
        self._on_exceeded = on_exceeded

    def inside(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def adopt(self, pid: int) -> None:
        """The tree is measured from its root on."""

    def attach(self, pid: int) -> None:
        self._root = pid

    def limit_memory(self, limit: int) -> None:
        self._limit = limit
        self._watch()

    def limit_tasks(self, limit: int) -> None:
        self._max_tasks = limit
        if self._uid:
            for pid in self._settled:
                # Containers of root often lack CAP_SYS_RESOURCE, without which the watchdog alone is left.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    resource.prlimit(pid, resource.RLIMIT_NPROC, (limit, limit))

    def deprioritize(self, *, enabled: bool) -> None:
        """Without a cgroup processes have no weights."""

    def out_of_memory(self) -> bool:
        return self._exceeded

    def settle(self, harness: int) -> None:  # noqa: ARG002  its threads are no proof without a cgroup
        self._settled = frozenset(self._find_processes())
        self._tasks = sum(map(_tasks, self._settled))
        self.limit_tasks(self._max_tasks)

    def unchanged(self) -> bool:
        return False

    def leftovers(self) -> str | None:
        pids = self._find_processes()
        if not self._settled.issuperset(pids):
            return LEFTOVER_PROCESSES
        return LEFTOVER_THREADS if sum(map(_tasks, pids)) > self._tasks + MAX_LEFT_TASKS else None

    def survivors(self) -> list[int]:
        return self._find_processes()

    def members(self) -> list[int]:
        return []

    def remove(self) -> bool:
        self._removed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    def _watch(self) -> None:
        self._began = self._loop.time()
        pids = self._find_processes()
        if sum(map(_tasks, pids)) > self._max_tasks + _TASKS_OF_OURS:
            self._exceed(f"more than {self._max_tasks} processes and threads")
            return
        if _tcp_sockets(self._root) > MAX_TCP_SOCKETS:
            self._exceed(TOO_MANY_SOCKETS)
            return
        # Measuring may take as long as the measured code makes it.
        measuring = self._loop.run_in_executor(None, self._measure, pids)
        measuring.add_done_callback(self._measured)

    def _measured(self, measuring: asyncio.Future[int]) -> None:
        if self._removed or measuring.cancelled():
            return
        if self._too_many_locks:
            self._exceed(TOO_MANY_LOCKS)
            return
        self._exceeded = measuring.result() > self._limit
        if self._exceeded:
            self._exceed(None)
            return
        rest = max(WATCH_SECONDS, _REST_FACTOR * (self._loop.time() - self._began))
        self._timer = self._loop.call_later(rest, self._watch)

    def _exceed(self, what: str | None) -> None:
        if self._on_exceeded is not None:
            self._on_exceeded(what)

    def _measure(self, pids: list[int]) -> int:
        self._too_many_locks = has_too_many_locks(pids)
        system_v = system_v_bytes(self._root) if self._system_v else 0
        left = self._limit - system_v
        return system_v + used_bytes(self._root, pids, left, wrapped=self._wrapped)

    def _find_processes(self) -> list[int]:
        """Return the running processes: the tree, those seen in it before, those with the sandbox's uid."""
        tree = descendants(self._root)
        for pid in tree:
            if pid not in self._seen and (started := start_time(pid)) is not None:
                self._seen[pid] = started
        if self._uid:
            for pid in processes_of(self._uid):
                if pid not in self._seen and (started := start_time(pid)) is not None:
                    self._seen[pid] = started
        self._seen = {pid: started for pid, started in self._seen.items() if start_time(pid) == started}
        return list(self._seen)


def descendants(root: int) -> list[int]:
    """Return a process and all its descendants."""
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def _tasks(pid: int) -> int:
    """Return the number of threads of a process."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2  # noqa: PTH116  on the path of every job
    except OSError:
        return 0


def _tcp_sockets(pid: int) -> int:
    """Return the number of TCP sockets in a process's network namespace."""
    try:
        tables = SocketTables(pid)
    except OSError:
        return 0
    try:
        return tables.tcp_sockets()
    finally:
        tables.close()


def processes_of(uid: int) -> list[int]:
    """Return every process of a uid."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if folder.stat().st_uid == uid:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def start_time(pid: int) -> str | None:
    """Return the start time that identifies a process with its pid; None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def set_rlimits(pid: int, *, processes: int | None, file_bytes: int = DISK_BYTES) -> None:
    """Set the rlimits of a process that has not begun; its children inherit them."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CPU: _CPU_SECONDS,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
    }
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    for kind, limit in limits.items():
        _, hard = resource.prlimit(pid, kind)
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, kind, (value, value))
