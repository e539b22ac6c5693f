"""Starts the process that kills sandboxes when the lease is over, and keeps it informed of both.

Invariants
- A sandbox is known to the guard before its first program runs.
- The guard has the end that `LeaseTerm` was set to last, by whichever thread holds the lease.
- While there are sandboxes there is a guard: one that ends is replaced, and the new one gets the end and all
  sandboxes.

Failures: an executor that is stopped, hangs or dies sends no later end, and its sandboxes die at the last
one. A message that the guard does not accept is an OSError: that sandbox is not started.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from runwright.core.lease_term import LeaseTerm
from runwright.sandbox import lease_guard_process
from runwright.sandbox.lease_guard_process import ADD, DELETE, END, MESSAGE, REPORT
from runwright.sandbox.spawn import SOCKET_FD, close_fds, duplicate_fds, spawn

_PROGRAM: Final = str(Path(lease_guard_process.__file__))
_RESTART_SECONDS: Final = 0.1


class LeaseGuard:
    """The guard of one executor's sandboxes; `term` is the lease that ends them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, term: LeaseTerm) -> None:
        self._loop = loop
        self._term = term
        self._numbers = itertools.count(1)
        self._guarded: dict[int, tuple[int, int, int]] = {}
        """By number: pidfd and pid of the first process, and the uid of the others."""
        self._killed: set[int] = set()
        self._near: socket.socket | None = None
        self._closed = True
        self._sending = threading.Lock()
        """Held while a message is sent: the end is set in another thread than sandboxes are started."""
        self.pid = 0

    def open(self) -> None:
        """Start the process; OSError if that fails."""
        self._closed = False
        self._start()
        self._term.subscribe(self._send_end)

    def close(self) -> None:
        """End the process; every sandbox must be gone."""
        self._closed = True
        self._term.unsubscribe(self._send_end)
        self._forget()

    def add(self, pidfd: int, pid: int, uid: int) -> int:
        """Guard the sandbox with that first process, and return its number; OSError if that fails.

        `uid` is that of its processes if they do not end with the first one, else 0. The pidfd must stay
        open until `remove`.
        """
        number = next(self._numbers)
        self._guarded[number] = (pidfd, pid, uid)
        with self._sending:
            if self._near is not None:
                self._send_sandbox(self._near, number)
        return number

    def remove(self, number: int) -> None:
        """Do not guard that sandbox any more: it is gone."""
        self._guarded.pop(number, None)
        self._killed.discard(number)
        with self._sending, contextlib.suppress(OSError):
            if self._near is not None:
                self._near.send(MESSAGE.pack(DELETE, number, 0.0, 0, 0))

    def has_killed(self, number: int) -> bool:
        """Return whether the guard has killed that sandbox, because the lease was over."""
        self._read_reports()
        return number in self._killed

    def _start(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)  # noqa: FBT003
        try:
            copies = duplicate_fds({0: -1, SOCKET_FD: far.fileno()})
            try:
                self.pid = spawn(
                    [sys.executable, "-I", "-S", _PROGRAM, str(SOCKET_FD)], {}, copies, own_session=True
                )
            finally:
                close_fds(copies)
        except OSError:
            near.close()
            raise
        finally:
            far.close()
        with self._sending:
            self._near = near
            near.send(MESSAGE.pack(END, 0, self._term.ends, 0, 0))
            for number in self._guarded:
                self._send_sandbox(near, number)
        self._loop.add_reader(near.fileno(), self._read_reports)

    def _send_sandbox(self, near: socket.socket, number: int) -> None:
        pidfd, pid, uid = self._guarded[number]
        socket.send_fds(near, [MESSAGE.pack(ADD, number, 0.0, pid, uid)], [pidfd])

    def _send_end(self, ends: float) -> None:
        # An end that is not accepted is not lost for good: the next renewal sends a later one.
        with self._sending, contextlib.suppress(OSError):
            if self._near is not None:
                self._near.send(MESSAGE.pack(END, 0, ends, 0, 0))

    def _read_reports(self) -> None:
        if self._near is None:
            return
        with contextlib.suppress(BlockingIOError):
            while report := _receive(self._near):
                self._killed.add(REPORT.unpack(report)[0])
            self._forget()
            self._loop.call_later(_RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self._closed or self._near is not None:
            return
        try:
            self._start()
        except OSError:
            self._forget()
            self._loop.call_later(_RESTART_SECONDS, self._restart)

    def _forget(self) -> None:
        """Close the socket and end the process, if there is one."""
        with self._sending:
            near, self._near = self._near, None
        if near is not None:
            self._loop.remove_reader(near.fileno())
            near.close()
        if self.pid:
            pid, self.pid = self.pid, 0
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _receive(near: socket.socket) -> bytes:
    """Return the next report; nothing when the process has ended."""
    try:
        return near.recv(REPORT.size)
    except ConnectionError:
        return b""
