"""Cgroups: one group per server instance, with one child group per sandbox.

v1: a folder in each of the memory, pids and cpu hierarchies, at the root of the mount, because a process
may have a different path in each of them. v2: below the server's own group, which must be delegated to
it (systemd: `Delegate=yes`); the server and its children move into a leaf first, because a group that
has children may not contain processes.

The instance's folder is named after its pid and start time, so that the next server can distinguish the
groups of a dead instance, which it removes, from those of a running one.
"""

import contextlib
import itertools
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MAX_TASKS: Final = 128
"""Processes and threads of a sandbox."""
SOCKET_SHARE: Final = 8
SOCKET_BYTES: Final = (2 * 1024 * 1024, 8 * 1024 * 1024)
"""On v1, TCP and UDP sockets have a limit of their own: this part of the other, within these bounds."""
CONTROLLERS: Final = ("memory", "pids", "cpu")
LOW_PRIORITY_DIVISOR: Final = 16
"""By how much a deprioritized group weighs less: it still makes progress next to busy ones, but slowly."""
_LIST_BYTES: Final = 4096
_PREFIX: Final = "runwright-"
_START_FIELD: Final = 19
"""Of /proc/PID/stat, counted from the parenthesis after the command."""


class Cgroup:
    """The group of one sandbox."""

    def __init__(
        self,
        folders: dict[str, Path],
        *,
        version: int,
        pids: int = MAX_TASKS,
        own_groups: Sequence[Path] = (),
    ) -> None:
        """`own_groups`: the groups of this process in those hierarchies (v1)."""
        self._folders = folders
        self._version = version
        self._own_groups = own_groups
        self._pids_fd = -1
        for folder in set(folders.values()):
            folder.mkdir()
        folder = folders["pids"]
        self._process_list = f"{folder}/cgroup.procs"
        (folder / "pids.max").write_text(str(pids))
        self._pids_fd = os.open(folder / "pids.current", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> bool:
        """Move this thread in, so that processes it starts begin here; False where only processes can move.

        It is fast, unlike `attach`, for which the kernel waits until no process forks or exits.
        """
        if not self._own_groups:
            return False
        try:
            for folder in set(self._folders.values()):
                (folder / "tasks").write_text("0")
        except OSError:
            self.leave()
            raise
        return True

    def leave(self) -> None:
        """Move this thread back to the groups of its process."""
        for group in self._own_groups:
            (group / "tasks").write_text("0")

    def attach(self, pid: int) -> None:
        """Move a process, which has no children yet, into the group."""
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def limit_tasks(self, limit: int) -> None:
        """Limit the processes and threads to `limit`."""
        (self._folders["pids"] / "pids.max").write_text(str(limit))

    def limit_memory(self, limit: int) -> None:
        """Limit memory, swap and files in tmpfs together to `limit` bytes.

        v2 counts the memory of sockets with it; v1 does not count it until it has a limit of its own.
        """
        folder = self._folders["memory"]
        if self._version == 1:
            (folder / "memory.limit_in_bytes").write_text(str(limit))
            with contextlib.suppress(OSError):
                (folder / "memory.memsw.limit_in_bytes").write_text(str(limit))
            with contextlib.suppress(OSError):  # the kernel may have been built without it
                (folder / "memory.kmem.tcp.limit_in_bytes").write_text(str(_socket_bytes(limit)))
            return
        (folder / "memory.max").write_text(str(limit))
        (folder / "memory.oom.group").write_text("1")
        with contextlib.suppress(OSError):
            (folder / "memory.swap.max").write_text("0")

    def deprioritize(self, *, enabled: bool) -> None:
        """Lower the group's CPU weight, or restore it."""
        _set_weight(self._folders["cpu"], self._version, low=enabled)

    def limit_files(self) -> list[Path]:
        """Return the control files of the limits."""
        memory = "memory.limit_in_bytes" if self._version == 1 else "memory.max"
        return [self._folders["memory"] / memory, self._folders["pids"] / "pids.max"]

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed because the group was out of memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        with contextlib.suppress(OSError):
            for line in (self._folders["memory"] / name).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def tasks(self) -> int:
        """Return the number of threads; cheap."""
        return int(os.pread(self._pids_fd, 32, 0))

    def processes(self) -> list[int]:
        """Return the processes in the group."""
        return _listed(self._process_list)

    def remove(self) -> bool:
        """Remove the group; False while the kernel still has processes in it."""
        if self._pids_fd >= 0:
            os.close(self._pids_fd)
            self._pids_fd = -1
        removed = [_remove(folder) for folder in set(self._folders.values())]
        return all(removed)


class Cgroups:
    """The group of this server instance."""

    def __init__(self, folders: dict[str, Path], *, version: int, own_groups: Sequence[Path] = ()) -> None:
        self._folders = folders
        self._own_groups = own_groups
        self._count = 0
        self.version = version

    def create(self, *, pids: int = MAX_TASKS) -> Cgroup:
        """Make the group of one sandbox, for at most `pids` threads."""
        self._count += 1
        name = f"sandbox-{self._count}"
        folders = {c: folder / name for c, folder in self._folders.items()}
        return Cgroup(folders, version=self.version, pids=pids, own_groups=self._own_groups)

    def deprioritize(self, *, enabled: bool) -> None:
        """Lower the CPU weight of all sandboxes against the rest of the host, or restore it."""
        _set_weight(self._folders["cpu"], self.version, low=enabled)

    def close(self) -> None:
        """Remove this instance's groups."""
        for folder in set(self._folders.values()):
            remove_tree(folder)


def open_cgroups() -> Cgroups | None:
    """Make this instance's group after removing those of dead instances; None without usable cgroups."""
    for version, roots in ((1, _v1_roots()), (2, _v2_roots())):
        if roots is None:
            continue
        try:
            for root in set(roots.values()):
                remove_leftovers(root)
            return _open(roots, version)
        except OSError:
            continue
    return None


def _make_folders(roots: dict[str, Path]) -> dict[str, Path]:
    """Make this instance's folder in every hierarchy; a number distinguishes the pools of one process."""
    for number in itertools.count():
        folders = {controller: root / f"{instance_name()}-{number}" for controller, root in roots.items()}
        made: list[Path] = []
        try:
            for folder in sorted(set(folders.values())):
                folder.mkdir()
                made.append(folder)
        except FileExistsError:
            for folder in made:
                folder.rmdir()
        else:
            return folders
    raise AssertionError  # there is always a next number


def _open(roots: dict[str, Path], version: int) -> Cgroups:
    folders = _make_folders(roots)
    try:
        if version == 2:  # noqa: PLR2004
            (folders["memory"] / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        else:
            (folders["cpu"] / "cpu.shares").write_text("1024")
        own_groups = _own_groups(roots) if version == 1 else ()
        groups = Cgroups(folders, version=version, own_groups=own_groups)
        groups.create().remove()
    except OSError:
        for folder in set(folders.values()):
            remove_tree(folder)
        raise
    return groups


def _v1_roots() -> dict[str, Path] | None:
    roots: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(CONTROLLERS):
                roots[controller] = Path(left.split(" ")[4])
    return roots if len(roots) == len(CONTROLLERS) else None


def _own_groups(roots: dict[str, Path]) -> Sequence[Path]:
    """Return the groups of this process below these mounts; empty where they cannot be written."""
    own_groups: set[Path] = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in set(controllers.split(",")) & set(roots):
            own_groups.add(roots[controller] / path.lstrip("/"))
    complete = len(own_groups) == len(set(roots.values()))
    writable = all(os.access(group / "tasks", os.W_OK) for group in own_groups)
    return sorted(own_groups) if complete and writable else ()


def _v2_roots() -> dict[str, Path] | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            mount = Path(left.split(" ")[4])
            break
    else:
        return None
    own = next(
        (x[3:] for x in Path("/proc/self/cgroup").read_text().splitlines() if x.startswith("0::")), "/"
    )
    base = mount / own.lstrip("/")
    if base.name.startswith(_PREFIX):
        base = base.parent
    try:
        offered = set((base / "cgroup.controllers").read_text().split())
        if not offered >= set(CONTROLLERS):
            return None
        delegate(base)
    except OSError:
        return None
    return dict.fromkeys(CONTROLLERS, base)


def delegate(base: Path) -> None:
    """Enable the controllers for groups below `base`; move this server into a leaf group if necessary."""
    control = base / "cgroup.subtree_control"
    for empty in base.glob(f"{_PREFIX}server-*"):
        _remove(empty)  # fails for a leaf that contains a server
    try:
        control.write_text("+memory +pids +cpu")
    except OSError:
        leaf = base / f"{_PREFIX}server-{os.getpid()}"
        leaf.mkdir(exist_ok=True)
        for pid in _own_processes(_processes(base)):
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(str(pid))
        control.write_text("+memory +pids +cpu")


def _own_processes(pids: list[int]) -> list[int]:
    """Return this process and its descendants among `pids`."""
    family = {os.getpid()}
    parents = {pid: int(fields[1]) for pid in pids if (fields := _stat(pid)) is not None}
    for _ in parents:
        more = {pid for pid, parent in parents.items() if parent in family}
        if more <= family:
            break
        family |= more
    return sorted(family)


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def instance_name() -> str:
    """Return the name of this process's group: pid namespace, pid, start time."""
    return f"{_PREFIX}{_namespace()}-{os.getpid()}-{_started(os.getpid())}"


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _started(pid: int) -> str | None:
    fields = _stat(pid)
    return None if fields is None else fields[_START_FIELD]


def remove_leftovers(root: Path) -> None:
    """Remove the groups of dead instances."""
    for folder in root.glob(f"{_PREFIX}{_namespace()}-*-*"):
        _, _, pid, started, *_ = folder.name.split("-")
        if not pid.isdigit() or _started(int(pid)) != started:
            remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Kill the processes in a group and its children, except this one, and remove the groups if possible."""
    with contextlib.suppress(OSError):
        for child in folder.iterdir():
            if child.is_dir():
                remove_tree(child)
        for pid in _processes(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _remove(folder)


def _processes(folder: Path) -> list[int]:
    """Return the processes in a group, without this one, whose threads enter groups to start processes.

    Without pid 0 too, by which the kernel reports processes of other pid namespaces: signalling it would
    signal this process's own group.
    """
    return _listed(f"{folder}/cgroup.procs")


def _listed(path: str) -> list[int]:
    # Without pathlib and file objects, as it is on the path of every job. Opened for each look: a descriptor
    # that is kept shows an older list for up to a second (v1).
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    text = b""
    try:
        while more := os.read(file, _LIST_BYTES):
            text += more
    except OSError:
        return []
    finally:
        os.close(file)
    own = os.getpid()
    return [pid for pid in map(int, text.split()) if pid not in (0, own)]


def _socket_bytes(limit: int) -> int:
    least, most = SOCKET_BYTES
    return min(max(limit // SOCKET_SHARE, least), most)


def _set_weight(folder: Path, version: int, *, low: bool) -> None:
    name, default = ("cpu.shares", 1024) if version == 1 else ("cpu.weight", 100)
    with contextlib.suppress(OSError):  # the group may be gone
        (folder / name).write_text(str(default // LOW_PRIORITY_DIVISOR if low else default))


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
