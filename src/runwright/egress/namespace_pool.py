"""Starts processes in namespaces of ours without a program in between, where the server may do that.

Making a namespace takes a thread into it, so a thread of its own does, and comes home at once. It
keeps one namespace ready, because the kernel takes milliseconds to make one and the executor's loop
waits for a start. The thread lives as long as what it started: a process that asked to die with its
parent dies with the thread.
"""

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from runwright.egress.namespace import NEW_NET, open_listeners, unshare
from runwright.sandbox.keyrings import hide_session_keyring

_OWN: Final = "/proc/thread-self/ns/net"


class _Namespace(msgspec.Struct, frozen=True):
    """A namespace that nobody is in yet, and its listeners."""

    descriptor: int
    listeners: list[socket.socket]


class NamespacePool:
    """A thread with one namespace in stock."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="runwright-namespaces")
        self._home = -1
        self._ready: _Namespace | None = None

    def start(self) -> None:
        """Make the first namespace; OSError where this server may not."""
        try:
            self._thread.submit(self._begin).result()
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the thread; what it started must have ended."""
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    def spawn(self, start: Callable[[], int]) -> tuple[int, list[socket.socket]]:
        """Start a process in a namespace of its own; return its pid and the namespace's listeners."""
        return self._thread.submit(self._spawn, start).result()

    # In the thread

    def _begin(self) -> None:
        hide_session_keyring()
        self._home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self._ready = self._make()

    def _end(self) -> None:
        if self._ready is not None:
            _discard(self._ready)
        if self._home >= 0:
            os.close(self._home)
        self._ready, self._home = None, -1

    def _spawn(self, start: Callable[[], int]) -> tuple[int, list[socket.socket]]:
        namespace = self._ready or self._make()
        self._ready = None
        try:
            _enter(namespace.descriptor)
            try:
                pid = start()
            finally:
                _enter(self._home)
        except BaseException:
            _discard(namespace)
            raise
        os.close(namespace.descriptor)
        self._thread.submit(self._restock)
        return pid, namespace.listeners

    def _restock(self) -> None:
        if self._ready is None and self._home >= 0:
            self._ready = self._make()

    def _make(self) -> _Namespace:
        number = unshare(NEW_NET)
        if number:
            raise OSError(number, f"no network namespace can be made: {os.strerror(number)}")
        try:
            listeners = [socket.socket(fileno=one.detach()) for one in open_listeners(self._ports)]
            return _Namespace(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC), listeners)
        finally:
            _enter(self._home)


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, NEW_NET):
        number = ctypes.get_errno()
        raise OSError(number, f"the network namespace cannot be entered: {os.strerror(number)}")


def _discard(namespace: _Namespace) -> None:
    os.close(namespace.descriptor)
    for listener in namespace.listeners:
        listener.close()
