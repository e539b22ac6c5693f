"""Start processes in network namespaces whose listeners are ours.

`namespace_command` does it with a program in between, which works for any user. `NamespacePool` does
it directly, where the server has the capability: making a namespace moves the calling thread into it,
so the pool has a thread of its own, which returns at once. It keeps one namespace ready, because the
kernel takes milliseconds to make one and the start of a sandbox waits for it. The thread lives as long
as the processes it started: a process that asked to die with its parent dies with the thread.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from runwright.egress.namespace import NEW_NET, open_listeners, unshare
from runwright.sandbox.keyrings import hide_session_keyring

MAX_PORTS: Final = 250
"""The kernel passes about this many descriptors in one message."""
_PROGRAM: Final = Path(__file__).with_name("namespace.py")
_CURRENT: Final = "/proc/thread-self/ns/net"


def namespace_command(control_fd: int, ports: Iterable[int], argv: list[str]) -> list[str]:
    """Return the command line that makes a namespace, sends its listeners, and becomes `argv`."""
    interpreter = [sys.executable, "-I", "-S", "-E", str(_PROGRAM)]
    return [*interpreter, str(control_fd), ",".join(map(str, ports)), *argv]


def receive_listeners(control: socket.socket) -> list[socket.socket]:
    """Return what the command sent: DNS over UDP, DNS over TCP, one per port; nothing where it failed."""
    try:
        _, numbers, _, _ = socket.recv_fds(control, 1, MAX_PORTS + 2)
    except OSError:
        return []
    return [socket.socket(fileno=number) for number in numbers]


class _Namespace(msgspec.Struct, frozen=True):
    """An empty namespace and its listeners."""

    descriptor: int
    listeners: list[socket.socket]


class NamespacePool:
    """A thread that starts processes in namespaces and keeps one namespace ready."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="runwright-namespaces")
        self._original = -1
        self._ready: _Namespace | None = None

    def start(self) -> None:
        """Make the first namespace; OSError where this process may not."""
        try:
            self._thread.submit(self._begin).result()
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the thread; the processes it started must have ended."""
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    def spawn(self, start: Callable[[], int]) -> tuple[int, list[socket.socket]]:
        """Start a process in a namespace of its own; return its pid and the namespace's listeners."""
        return self._thread.submit(self._spawn, start).result()

    # In the thread

    def _begin(self) -> None:
        hide_session_keyring()
        self._original = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        self._ready = self._make()

    def _end(self) -> None:
        if self._ready is not None:
            _discard(self._ready)
        if self._original >= 0:
            os.close(self._original)
        self._ready, self._original = None, -1

    def _spawn(self, start: Callable[[], int]) -> tuple[int, list[socket.socket]]:
        namespace = self._ready or self._make()
        self._ready = None
        try:
            _enter(namespace.descriptor)
            try:
                pid = start()
            finally:
                _enter(self._original)
        except BaseException:
            _discard(namespace)
            raise
        os.close(namespace.descriptor)
        self._thread.submit(self._refill)
        return pid, namespace.listeners

    def _refill(self) -> None:
        if self._ready is None and self._original >= 0:
            self._ready = self._make()

    def _make(self) -> _Namespace:
        number = unshare(NEW_NET)
        if number:
            raise OSError(number, f"no network namespace can be made: {os.strerror(number)}")
        try:
            listeners = [socket.socket(fileno=one.detach()) for one in open_listeners(self._ports)]
            return _Namespace(os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC), listeners)
        finally:
            _enter(self._original)


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, NEW_NET):
        number = ctypes.get_errno()
        raise OSError(number, f"the network namespace cannot be entered: {os.strerror(number)}")


def _discard(namespace: _Namespace) -> None:
    os.close(namespace.descriptor)
    for listener in namespace.listeners:
        listener.close()
