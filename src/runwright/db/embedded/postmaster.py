"""The postmaster process: launching, finding, watching and signalling it."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from runwright.db.embedded.account import Account
from runwright.db.embedded.layout import Layout

_ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


class Postmaster:
    """A handle of a running postmaster, launched by this process or another."""

    def __init__(self, pid: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)
        self._exited: asyncio.Future[None] | None = None

    @property
    def alive(self) -> bool:
        """Return whether it runs; a zombie does not."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def exited_within(self, seconds: float) -> bool:
        """Wait for its exit; return whether it happened within `seconds`."""
        if self._exited is None:
            loop = asyncio.get_running_loop()
            self._exited = loop.create_future()
            loop.add_reader(self._pidfd, self._on_exit, loop, self._exited)
        await asyncio.wait({self._exited}, timeout=seconds)
        return self._exited.done()

    def release(self) -> None:
        """Release the handle without stopping the process."""
        if self._exited is not None and not self._exited.done():
            self._exited.get_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._child is not None and self._child.poll() is None:
            # It keeps running for other processes; subprocess must not warn about that.
            self._child.returncode = 0

    def _on_exit(self, loop: asyncio.AbstractEventLoop, exited: "asyncio.Future[None]") -> None:
        loop.remove_reader(self._pidfd)
        if self._child is not None:
            self._child.poll()  # reap it
        if not exited.done():
            exited.set_result(None)


def launch(command: Sequence[str], layout: Layout, inherited: Iterable[int]) -> Postmaster:
    """Start the postmaster in a session of its own, so that it survives a kill of this process."""
    log = layout.open_log()
    try:
        child = _spawn(command, layout.account, log, inherited, start_new_session=True)
    finally:
        os.close(log)
    return Postmaster(child.pid, child)


def run(command: Sequence[str], layout: Layout, inherited: Iterable[int]) -> int:
    """Run a program of PostgreSQL's to its end, with its output in the log; return the exit status."""
    log = layout.open_log()
    try:
        return _spawn(command, layout.account, log, inherited, start_new_session=False).wait()
    finally:
        os.close(log)


def _spawn(
    command: Sequence[str], account: Account, log: int, inherited: Iterable[int], *, start_new_session: bool
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        pass_fds=tuple(inherited),
        start_new_session=start_new_session,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )


def find(layout: Layout) -> Postmaster | None:
    """Return the running postmaster of this cluster, if there is one."""
    pid = _recorded_pid(layout.cluster)
    if pid is None:
        return None
    try:
        postmaster = Postmaster(pid)
    except (ProcessLookupError, OSError):
        return None
    # Checked only now that the pidfd is open, so that the process id cannot have been reused.
    if _works_in(pid, layout.cluster) and postmaster.alive:
        return postmaster
    postmaster.release()
    return None


def forget(layout: Layout) -> None:
    """Remove the pid file and sockets of a postmaster that is known to have exited.

    Its process id may have been reused, or be a zombie's, and PostgreSQL would take that for a live one.
    """
    stale = (layout.cluster / "postmaster.pid", *layout.socket.glob(".s.PGSQL.*"))
    for file in stale:
        file.unlink(missing_ok=True)


def kill_leftovers(layout: Layout) -> None:
    """Kill the remaining processes of a cluster whose postmaster is dead; they block a new one."""
    send_to_all(layout, signal.SIGKILL)


def send_to_all(layout: Layout, number: signal.Signals) -> None:
    """Send a signal to every process of a cluster."""
    for pid in _pids():
        if _works_in(pid, layout.cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _recorded_pid(cluster: Path) -> int | None:
    # PostgreSQL's user writes this file, so links are not followed and the content is not trusted.
    try:
        fd = os.open(cluster / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        first = os.read(fd, 32).split(b"\n", 1)[0]
    finally:
        os.close(fd)
    return int(first) if first.isdigit() else None


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder.stat())  # noqa: PTH116  a magic link
    except OSError:
        return False
