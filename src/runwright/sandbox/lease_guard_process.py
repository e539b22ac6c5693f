"""Kills the sandboxes of an executor whose lease is over: `lease_guard_process.py FD`.

A process of its own, outside of every sandbox, so that it acts while the executor is stopped or hangs, and
user code can neither reach nor imitate it: only the executor has the other end of the socket FD. Messages of
the executor have a kind, a number, a time, a process id and a uid:

    E: the lease ends at that time of the monotonic clock
    A: guard the sandbox with that number; the pidfd of its first process is attached
    D: the sandbox with that number is gone

When the time has passed, every sandbox is killed; it is reported by its number before. The end of the socket
is the end of the executor: every sandbox is killed then too, and this process ends.
"""

import array
import contextlib
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

MESSAGE = struct.Struct("<cQdiI")
END, ADD, DELETE = b"E", b"A", b"D"
REPORT = struct.Struct("<Q")
_AGAIN_SECONDS = 0.2


class GuardedSandbox:
    """One sandbox: the pidfd of its first process, and what else may belong to it."""

    def __init__(self, pidfd: int, pid: int, uid: int) -> None:
        """`uid`: that of its processes, where no pid namespace ends them with the first one; else 0."""
        self.pidfd = pidfd
        self.reported = False
        self._pid = pid
        self._uid = uid

    def kill(self) -> None:
        """Kill all of its processes."""
        with contextlib.suppress(OSError):
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            else:
                os.kill(self._pid, signal.SIGKILL)
        if self._uid:
            for pid in _processes_of(self._uid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the pidfd."""
        if self.pidfd >= 0:
            os.close(self.pidfd)


class LeaseGuardProcess:
    """Knows the sandboxes and the end of the lease."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ends = math.inf
        self._sandboxes: dict[int, GuardedSandbox] = {}

    def run(self) -> None:
        """Guard until the executor is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            if poll.poll(self._timeout()) and not self._receive():
                break
            if time.monotonic() >= self._ends:
                self._kill_all()
        self._kill_all()

    def _timeout(self) -> float | None:
        if (math.isinf(self._ends) and self._ends > 0) or not self._sandboxes:
            return None
        left = self._ends - time.monotonic()
        return 1000 * (left if left > 0 else _AGAIN_SECONDS) + 1

    def _receive(self) -> bool:
        """Handle one message; False at the end of the socket."""
        message, extra, _, _ = self._socket.recvmsg(
            MESSAGE.size, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        if len(message) < MESSAGE.size:
            return False
        kind, number, ends, pid, uid = MESSAGE.unpack(message)
        if kind == END:
            self._ends = ends
        elif kind == ADD:
            self._sandboxes[number] = GuardedSandbox(_attached(extra), pid, uid)
        elif number in self._sandboxes:
            self._sandboxes.pop(number).close()
        return True

    def _kill_all(self) -> None:
        for number, sandbox in self._sandboxes.items():
            if not sandbox.reported:
                sandbox.reported = True
                with contextlib.suppress(OSError):
                    self._socket.send(REPORT.pack(number), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            sandbox.kill()


def _attached(extra: list[tuple[int, int, bytes]]) -> int:
    """Return the descriptor that came with a message; -1 if there is none."""
    for level, kind, content in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return array.array("i", content)[0]
    return -1


def _processes_of(uid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  a small program that starts fast
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:  # noqa: PTH116  as above
                    found.append(int(name))
    return found


def main() -> None:
    """Guard the sandboxes of the executor at the other end of the socket."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the executor drains first; its end is the end of the socket
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    LeaseGuardProcess(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
