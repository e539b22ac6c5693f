"""The postmaster process: how it is launched, found again, watched and told to stop."""

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
    """A hold on a running postmaster, whoever launched it."""

    def __init__(self, pid: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)
        self._gone: asyncio.Future[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def gone_within(self, seconds: float) -> bool:
        """Wait for its end; tell whether that came in time."""
        if self._gone is None:
            loop = asyncio.get_running_loop()
            self._gone = loop.create_future()
            loop.add_reader(self._pidfd, self._on_gone, loop, self._gone)
        await asyncio.wait({self._gone}, timeout=seconds)
        return self._gone.done()

    def let_go(self) -> None:
        """Stop watching, without stopping it."""
        if self._gone is not None and not self._gone.done():
            self._gone.get_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._child is not None and self._child.poll() is None:
            # It goes on for others: subprocess need not warn that it was left behind.
            self._child.returncode = 0

    def _on_gone(self, loop: asyncio.AbstractEventLoop, gone: "asyncio.Future[None]") -> None:
        loop.remove_reader(self._pidfd)
        if self._child is not None:
            self._child.poll()  # so that no zombie stays
        if not gone.done():
            gone.set_result(None)


def launch(command: Sequence[str], layout: Layout, inherited: Iterable[int]) -> Postmaster:
    """Start the postmaster in a session of its own, so that it outlives a kill of this process."""
    log = layout.open_log()
    try:
        child = _spawn(command, layout.account, log, inherited, start_new_session=True)
    finally:
        os.close(log)
    return Postmaster(child.pid, child)


def run(command: Sequence[str], layout: Layout, inherited: Iterable[int]) -> int:
    """Run a program of PostgreSQL's to its end; what it says goes to the log."""
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
    """Return the postmaster that serves this cluster now, if there is one."""
    pid = _recorded_pid(layout.cluster)
    if pid is None:
        return None
    try:
        postmaster = Postmaster(pid)
    except (ProcessLookupError, OSError):
        return None
    # Asked only after the process is held, so that the number cannot come to mean another one.
    if _works_in(pid, layout.cluster) and postmaster.alive:
        return postmaster
    postmaster.let_go()
    return None


def forget(layout: Layout) -> None:
    """Remove the records of a postmaster that is known to be gone.

    Its number may be another's now, or a zombie's, and PostgreSQL would take that for a live one.
    """
    stale = (layout.cluster / "postmaster.pid", *layout.socket.glob(".s.PGSQL.*"))
    for file in stale:
        file.unlink(missing_ok=True)


def kill_leftovers(layout: Layout) -> None:
    """Kill what still runs on a cluster whose postmaster is dead: it would keep a new one from starting."""
    for pid in _pids():
        if _works_in(pid, layout.cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _recorded_pid(cluster: Path) -> int | None:
    # The file is written by PostgreSQL's user, so it is neither followed nor trusted.
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
