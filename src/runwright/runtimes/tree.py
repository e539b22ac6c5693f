"""One sandbox's process tree: start it, hold it by pidfd, kill it, know when it is gone.

The process that we start (`outer`) is bwrap, its child is the first process of the new pid
namespace (`root`). Root waits on a pipe until its limits are set, so nothing ever runs
without them. Killing root makes the kernel kill everything in its namespace, and root's
pidfd becomes readable only after the last of them is gone: that is the confirmation. All
signals go through pidfds, so that a reused pid is never hit. Without bwrap (isolation
`process`) outer and root are the same process and the rest of its session is looked up.
"""

import asyncio
import json
import os
import select
import signal
import subprocess
from collections.abc import Callable
from typing import Final

KILLED: Final = signal.SIGKILL
_INFO_BYTES: Final = 4096


class Tree:
    """A process tree from before its start until it is confirmed gone."""

    __slots__ = (
        "_block",
        "_confine",
        "_info",
        "_info_data",
        "_loop",
        "_on_gone",
        "_outer",
        "_outer_fd",
        "_root_fd",
        "gone",
        "killed",
        "root_pid",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        confine: Callable[[int], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._confine = confine
        self._on_gone = on_gone
        self._outer: subprocess.Popen[bytes] | None = None
        self._outer_fd = self._root_fd = self._info = self._block = -1
        self._info_data = b""
        self.root_pid = 0
        self.status: int | None = None
        self.gone = False
        self.killed = False

    def start(
        self,
        command: Callable[[dict[str, int]], list[str]],
        *,
        wrapped: bool,
        pass_fds: list[int],
        stdout: int,
        stderr: int,
        cwd: str | None,
        env: dict[str, str],
    ) -> None:
        """Start the processes; `wrapped` says that bwrap is the outer one."""
        setup: dict[str, int] = {}
        if wrapped:
            self._info, setup["info-fd"] = os.pipe2(os.O_CLOEXEC)
            setup["block-fd"], self._block = os.pipe2(os.O_CLOEXEC)
        try:
            self._outer = subprocess.Popen(  # noqa: S603  our own command line
                command(setup),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[*pass_fds, *setup.values()],
                cwd=cwd,
                env=env,
                start_new_session=not wrapped,
            )
        except OSError:
            self._close_setup()
            raise
        finally:
            for fd in setup.values():
                os.close(fd)
        self._outer_fd = os.pidfd_open(self._outer.pid)
        self._loop.add_reader(self._outer_fd, self._outer_ended)
        if wrapped:
            self._loop.add_reader(self._info, self._read_info)
        else:
            self._attach(self._outer.pid)

    def signal_root(self, number: int) -> None:
        """Signal the first process of the tree, if it is still there."""
        fd = self._root_fd if self._root_fd >= 0 else self._outer_fd
        if fd >= 0 and not self.gone:
            try:
                signal.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """Kill everything; `on_gone` follows when nothing is left."""
        self.killed = True
        self.signal_root(KILLED)

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
        self._close_setup(go=not self.killed)

    def _attach(self, pid: int) -> None:
        try:
            self._root_fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.root_pid = pid
        if self.killed:
            self.signal_root(KILLED)
            return
        try:
            self._confine(pid)
        except OSError:
            self.kill()

    def _close_setup(self, *, go: bool = False) -> None:
        if self._info >= 0:
            self._loop.remove_reader(self._info)
            os.close(self._info)
            self._info = -1
        if self._block >= 0:
            if go:
                try:
                    os.write(self._block, b"1")
                except BrokenPipeError:
                    pass
            os.close(self._block)
            self._block = -1

    def _outer_ended(self) -> None:
        if self._outer is None:
            return
        self._loop.remove_reader(self._outer_fd)
        self.status = self._outer.wait()
        os.close(self._outer_fd)
        self._outer_fd = -1
        self._close_setup()
        if self._root_fd < 0 or select.select([self._root_fd], [], [], 0)[0]:
            self._confirm()
        else:
            self.signal_root(KILLED)
            self._loop.add_reader(self._root_fd, self._confirm)

    def _confirm(self) -> None:
        if self._root_fd >= 0:
            self._loop.remove_reader(self._root_fd)
            os.close(self._root_fd)
            self._root_fd = -1
        if not self.gone:
            self.gone = True
            self._on_gone()
