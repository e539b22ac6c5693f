"""One sandbox's process tree: start it, hold it by pidfd, kill it, confirm its end.

The process that we start (`outer`) is bwrap; its child is the first process of the new pid namespace
(`root`). Root waits on a pipe until its limits are set, so nothing ever runs without them. Starting a
process, and moving one into a cgroup, can take the kernel up to 20 ms, so a thread does that. If outer
dies before it has reported the pid of root, root waits for it for ever: it is then found by the socket
that it holds. Killing root makes the kernel kill everything in its namespace, and root's pidfd becomes
readable only after the last process is gone: that confirms the end. All signals go through pidfds, so
that a reused pid is never hit. A guard, if there is one, knows root before root is unblocked, and kills it
when the lease is over (see `lease_guard`). Without bwrap (isolation `process`) outer and root are the same
process, which does not wait: its limits are set as soon as it is started, for once it has a uid of its own a
server without CAP_SYS_RESOURCE may not.
"""

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from runwright.sandbox.account_files import open_account_files
from runwright.sandbox.cpu_affinity import CpuShare
from runwright.sandbox.lease_guard import LeaseGuard
from runwright.sandbox.resource_limits import ResourceLimits
from runwright.sandbox.scheduler_slices import DEFAULT_NANOSECONDS, set_scheduler_slice
from runwright.sandbox.spawn import (
    BLOCK_FD,
    GROUP_FD,
    INFO_FD,
    NETWORK_FD,
    PASSWD_FD,
    SECCOMP_FD,
    SOCKET_FD,
    close_fds,
    duplicate_fds,
    spawn,
)

Result = TypeVar("Result")

_INFO_BYTES: Final = 4096
_REPORT_SECONDS: Final = 2.0
"""How long outer may take to report the pid of root once the tree is to be killed."""
_RETRY_SECONDS: Final = 0.005


class NetworkNamespace(Protocol):
    """A network namespace that is made when the process in it is started."""

    def start(self, argv: list[str], fd: int, spawn: Callable[[list[str], dict[int, int]], int]) -> int:
        """Start `argv` in the namespace and return its pid.

        `spawn(argv, descriptors)` starts a process with additional descriptors; `fd` is a free number.
        """


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to start: the command line, its environment and its descriptors."""

    argv: list[str]
    env: dict[str, str]
    wrapped: bool
    """Whether bwrap is the outer process."""
    stdout: int
    stderr: int
    socket: int
    seccomp: int | None = None
    share: CpuShare | None = None
    """The CPUs that it may use; None: all."""
    network: NetworkNamespace | None = None
    """The network namespace to start in; None: the host's, or an empty one made by bubblewrap."""
    uid: int = 0
    """The uid that only its processes have, if there is one."""


class ProcessTree:
    """A process tree from its start until it is confirmed gone."""

    __slots__ = (
        "_block",
        "_guard",
        "_guarded_uid",
        "_info",
        "_info_data",
        "_limits",
        "_loop",
        "_number",
        "_on_gone",
        "_outer",
        "_outer_fd",
        "_root_fd",
        "_set_limits",
        "_socket",
        "_starter",
        "_wrapped",
        "error",
        "gone",
        "killed",
        "root_pid",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        starter: Executor,
        limits: ResourceLimits,
        set_limits: Callable[[int], None],
        on_gone: Callable[[], None],
        guard: LeaseGuard | None = None,
    ) -> None:
        """`starter` has one thread, which lives longer than the tree.

        `set_limits(root)` sets the limits that `limits` does not; OSError where that fails.
        """
        self._loop = loop
        self._starter = starter
        self._limits = limits
        self._set_limits = set_limits
        self._on_gone = on_gone
        self._guard = guard
        self._number = self._guarded_uid = self._outer = 0
        self._wrapped = True
        self._outer_fd = self._root_fd = self._info = self._block = -1
        self._info_data = b""
        self._socket = 0
        self.root_pid = 0
        self.status: int | None = None
        self.error: Exception | None = None
        """Why it could not be started."""
        self.gone = False
        self.killed = False

    def start(self, launch: Launch) -> None:
        """Start the processes; the descriptors in `launch` may be closed when this returns."""
        sources = {0: -1, 1: launch.stdout, 2: launch.stderr, SOCKET_FD: launch.socket}
        if launch.seccomp is not None:
            sources[SECCOMP_FD] = launch.seccomp
        inner_ends: list[int] = []
        self._wrapped = launch.wrapped
        self._guarded_uid = 0 if launch.wrapped else launch.uid
        if launch.wrapped:
            self._info, info = os.pipe2(os.O_CLOEXEC)
            block, self._block = os.pipe2(os.O_CLOEXEC)
            passwd, group = open_account_files(launch.uid)
            inner_ends = [info, block, passwd, group]
            sources |= {INFO_FD: info, BLOCK_FD: block, PASSWD_FD: passwd, GROUP_FD: group}
        try:
            self._socket = os.fstat(launch.socket).st_ino
            copies = duplicate_fds(sources)
        except OSError:
            self._close_setup()
            raise
        finally:
            for fd in inner_ends:
                os.close(fd)
        set_limits = None if launch.wrapped else self._set_limits
        starting = self._starter.submit(_start, launch, copies, self._limits, set_limits)
        self._then(starting, lambda: self._started(starting))

    def _then(self, work: "Future[Result]", then: Callable[[], None]) -> None:
        """Call `then` in the loop when the starter thread has done the work."""

        def schedule(_: "Future[Result]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(then)

        work.add_done_callback(schedule)

    def _started(self, starting: "Future[tuple[int, int]]") -> None:
        try:
            self._outer, self._outer_fd = starting.result()
        except Exception as error:  # noqa: BLE001  nothing was started, and the owner must be notified
            self.error = error
            self._close_setup()
            self.gone = True
            self._on_gone()
            return
        self._loop.add_reader(self._outer_fd, self._outer_ended)
        if self._wrapped:
            self._loop.add_reader(self._info, self._read_info)
        else:
            self._attach(self._outer)

    def kill(self) -> None:
        """Kill everything; `on_gone` follows when nothing is left.

        A root whose pid is not known yet is killed when outer reports it; an outer that does not report
        is killed too.
        """
        self.killed = True
        self._kill_root()
        if self._root_fd < 0:
            self._loop.call_later(_REPORT_SECONDS, self._kill_outer)

    def _kill_root(self) -> None:
        if self._root_fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._root_fd, signal.SIGKILL)

    def _kill_outer(self) -> None:
        if self._outer_fd >= 0 and not self.root_pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._outer_fd, signal.SIGKILL)

    def _read_info(self) -> None:
        data = os.read(self._info, _INFO_BYTES)
        self._info_data += data
        try:
            pid = int(json.loads(self._info_data)["child-pid"])
        except ValueError:
            if not data:
                self._close_setup()
            return
        self._loop.remove_reader(self._info)
        self._attach(pid)

    def _attach(self, pid: int) -> None:
        try:
            self._root_fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.root_pid = pid
        set_scheduler_slice(pid, DEFAULT_NANOSECONDS)
        try:
            if self._guard is not None:
                self._number = self._guard.add(self._root_fd, pid, self._guarded_uid)
        except OSError as error:
            self.error, self.killed = error, True
        attaching = self._starter.submit(self._limits.attach, pid)
        self._then(attaching, lambda: self._attached(attaching))

    def _attached(self, attaching: "Future[None]") -> None:
        """Unblock the root once its limits are set, or kill it."""
        if self._root_fd < 0:
            return
        if not self.killed:
            try:
                attaching.result()
                if self._wrapped:
                    self._set_limits(self.root_pid)
            except OSError as error:
                self.error, self.killed = error, True
        if self.killed:
            self.kill()
        elif self._block >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._block, b"1")
        self._close_setup()

    def _close_setup(self) -> None:
        if self._info >= 0:
            self._loop.remove_reader(self._info)
            os.close(self._info)
            os.close(self._block)
            self._info = self._block = -1

    def _outer_ended(self) -> None:
        self._loop.remove_reader(self._outer_fd)
        os.close(self._outer_fd)
        self._outer_fd = -1
        if self._guard is not None and self._guard.has_killed(self._number):
            self.killed = True
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._outer, 0)[1])
        self._close_setup()
        if self._root_fd < 0 or _readable(self._root_fd):
            self._confirm()
        else:
            self._loop.add_reader(self._root_fd, self._confirm)
            self._kill_root()

    def _confirm(self) -> None:
        if self._guard is not None:
            self._guard.remove(self._number)
        if self._root_fd >= 0:
            self._loop.remove_reader(self._root_fd)
            os.close(self._root_fd)
            self._root_fd = -1
        self._finish()

    def _finish(self) -> None:
        """Kill what is left: a root that was never reported, or daemons outside of a pid namespace."""
        survivors = self._limits.survivors()
        if not self.root_pid:
            survivors += processes_with_socket(self._socket)
        for pid in survivors:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if survivors:
            self._loop.call_later(_RETRY_SECONDS, self._finish)
            return
        self.gone = True
        self._on_gone()


def _start(
    launch: Launch,
    copies: dict[int, int],
    limits: ResourceLimits,
    set_limits: Callable[[int], None] | None,
) -> tuple[int, int]:
    """Start the process, in its network namespace if it has one; return its pid and pidfd.

    `set_limits` sets the limits of a process that does not wait for them.
    Closes the copies. If a step fails after the start, the process is killed, because nothing else would.
    """
    started: list[int] = []

    def start(argv: list[str], more: dict[int, int]) -> int:
        added = duplicate_fds(more)
        try:
            with limits.inside(), _on_cpus_of(launch.share):
                started.append(spawn(argv, launch.env, copies | added, own_session=not launch.wrapped))
        finally:
            close_fds(added)
        return started[0]

    try:
        if launch.network is None:
            start(launch.argv, {})
        else:
            launch.network.start(launch.argv, NETWORK_FD, start)
        if set_limits is not None:
            set_limits(started[0])
        _apply_priority(started[0], launch, limits)
        return started[0], os.pidfd_open(started[0])
    except BaseException:
        for outer in started:
            os.kill(outer, signal.SIGKILL)
            os.waitpid(outer, 0)
        raise
    finally:
        close_fds(copies)


@contextlib.contextmanager
def _on_cpus_of(share: CpuShare | None) -> Iterator[None]:
    """Restrict this thread, and so what it starts, to the share's CPUs for the duration of the block."""
    previous = os.sched_getaffinity(0)
    if share is None or share.cpus == previous:
        yield
        return
    with contextlib.suppress(OSError):  # none of them is available to this process any more
        os.sched_setaffinity(0, share.cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, previous)


def _apply_priority(outer: int, launch: Launch, limits: ResourceLimits) -> None:
    set_scheduler_slice(outer, DEFAULT_NANOSECONDS)
    if launch.share is not None and launch.share.deprioritized:
        limits.deprioritize(enabled=True)
    if launch.wrapped:
        limits.adopt(outer)


def _readable(fd: int) -> bool:
    """Return whether the descriptor is readable; with poll, because select is limited to 1024 descriptors."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def processes_with_socket(inode: int) -> list[int]:
    """Return the processes, other than this one, that have a socket open."""
    found = []
    name = Path(f"socket:[{inode}]")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(link.readlink() == name for link in (folder / "fd").iterdir()):
                    found.append(int(folder.name))
    return found
