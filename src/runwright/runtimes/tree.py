"""One sandbox's process tree: start it, hold it by pidfd, kill it, know when it is gone.

The process that we start (`outer`) is bwrap, its child is the first process of the new pid
namespace (`root`). Root waits on a pipe until its limits are set, so nothing ever runs
without them. Should outer die before it has told who root is, root waits for it for ever: it is
then found by the socket that it holds. Killing root makes the kernel kill everything in its
namespace, and root's pidfd becomes readable only after the last of them is gone: that is the
confirmation. All signals go through pidfds, so that a reused pid is never hit. Without bwrap
(isolation `process`) outer and root are the same process.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runwright.runtimes.egress import Door
from runwright.runtimes.protocol import SOCKET_FD
from runwright.runtimes.slices import USUAL, set_slice

INFO_FD: Final = SOCKET_FD + 1
BLOCK_FD: Final = SOCKET_FD + 2
SECCOMP_FD: Final = SOCKET_FD + 3
DOOR_FD: Final = SOCKET_FD + 4
_FIRST_SOURCE_FD: Final = 16
_INFO_BYTES: Final = 4096
_TELL_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.005


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What to start: the command line, and the descriptors that it gets."""

    argv: list[str]
    env: dict[str, str]
    wrapped: bool
    """Whether bwrap is the outer process."""
    stdout: int
    stderr: int
    socket: int
    seccomp: int | None = None
    door: Door | None = None
    """The way out, where the tree has one: it then starts in a network namespace that leads there."""


class Tree:
    """A process tree from its start until it is confirmed gone."""

    __slots__ = (
        "_adopt",
        "_block",
        "_confine",
        "_info",
        "_info_data",
        "_loop",
        "_on_gone",
        "_outer",
        "_outer_fd",
        "_root_fd",
        "_socket",
        "_survivors",
        "gone",
        "killed",
        "root_pid",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        adopt: Callable[[int], None],
        confine: Callable[[int], None],
        survivors: Callable[[], list[int]],
        on_gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._adopt = adopt
        self._confine = confine
        self._survivors = survivors
        self._on_gone = on_gone
        self._outer = 0
        self._outer_fd = self._root_fd = self._info = self._block = -1
        self._info_data = b""
        self._socket = 0
        self.root_pid = 0
        self.status: int | None = None
        self.gone = False
        self.killed = False

    def start(self, launch: Launch) -> None:
        """Start the processes."""
        places = {0: -1, 1: launch.stdout, 2: launch.stderr, SOCKET_FD: launch.socket}
        if launch.seccomp is not None:
            places[SECCOMP_FD] = launch.seccomp
        ours: list[int] = []
        if launch.wrapped:
            self._info, info = os.pipe2(os.O_CLOEXEC)
            block, self._block = os.pipe2(os.O_CLOEXEC)
            ours = [info, block]
            places |= {INFO_FD: info, BLOCK_FD: block}
        try:
            self._outer = _start(launch, places)
            set_slice(self._outer, USUAL)
        except OSError:
            self._close_setup()
            raise
        finally:
            for fd in ours:
                os.close(fd)
        self._outer_fd = os.pidfd_open(self._outer)
        self._socket = os.fstat(launch.socket).st_ino
        self._loop.add_reader(self._outer_fd, self._outer_ended)
        if launch.wrapped:
            self._adopt(self._outer)
            self._loop.add_reader(self._info, self._read_info)
        else:
            self._attach(self._outer)

    def kill(self) -> None:
        """Kill everything; `on_gone` follows when nothing is left.

        A root that is not known yet waits, and is killed when outer tells its pid; an outer
        that does not tell is killed too.
        """
        self.killed = True
        self._kill_root()
        if self._root_fd < 0:
            self._loop.call_later(_TELL_SECONDS, self._kill_outer)

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
        self._attach(pid)
        if not self.killed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._block, b"1")
        self._close_setup()

    def _attach(self, pid: int) -> None:
        try:
            self._root_fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.root_pid = pid
        set_slice(pid, USUAL)
        if not self.killed:
            try:
                self._confine(pid)
            except OSError:
                self.killed = True
        if self.killed:
            self.kill()

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
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._outer, 0)[1])
        self._close_setup()
        if self._root_fd < 0 or _readable(self._root_fd):
            self._confirm()
        else:
            self._loop.add_reader(self._root_fd, self._confirm)
            self._kill_root()

    def _confirm(self) -> None:
        if self._root_fd >= 0:
            self._loop.remove_reader(self._root_fd)
            os.close(self._root_fd)
            self._root_fd = -1
        self._finish()

    def _finish(self) -> None:
        """Kill whoever is left: a root that nobody told of, or daemons that no pid namespace held."""
        survivors = self._survivors() if self.root_pid else [*self._survivors(), *_holders(self._socket)]
        for pid in survivors:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if survivors:
            self._loop.call_later(_AGAIN_SECONDS, self._finish)
            return
        self.gone = True
        self._on_gone()


def _start(launch: Launch, places: dict[int, int]) -> int:
    """Start the process, in a network namespace with a way out where it has one."""
    if launch.door is None:
        return spawn(launch, places)

    def start(argv: list[str], more: dict[int, int]) -> int:
        return spawn(msgspec.structs.replace(launch, argv=argv), places | more)

    return launch.door.start(launch.argv, DOOR_FD, start)


def _readable(fd: int) -> bool:
    """Tell whether something waits; by poll, for a server may have more descriptors than select can name."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _holders(inode: int) -> list[int]:
    """Return the processes, other than this one, that hold a socket."""
    found = []
    name = Path(f"socket:[{inode}]")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(link.readlink() == name for link in (folder / "fd").iterdir()):
                    found.append(int(folder.name))
    return found


def _inheritable() -> list[int]:
    """Return the descriptors, beside the standard ones, that a new process would inherit."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  a listing, no paths
        with contextlib.suppress(OSError):
            if int(name) >= SOCKET_FD and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def spawn(launch: Launch, places: dict[int, int]) -> int:
    """Start the process with each descriptor in its place, and no other.

    Sources are copied out of the way first. What this process itself inherited, and may pass
    on, is closed: nothing of it may reach a sandbox.
    """
    copies: list[int] = []
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()]
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for place, source in places.items():
            copy = fcntl.fcntl(null if source < 0 else source, fcntl.F_DUPFD_CLOEXEC, _FIRST_SOURCE_FD)
            copies.append(copy)
            actions.append((os.POSIX_SPAWN_DUP2, copy, place))
        return os.posix_spawn(
            launch.argv[0], launch.argv, launch.env, file_actions=actions, setsid=not launch.wrapped
        )
    finally:
        for fd in (null, *copies):
            os.close(fd)
