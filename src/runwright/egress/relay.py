"""One connection between a sandbox and its destination: bytes both ways.

States: accepted -> allowed -> connected -> closed. Until it is connected nothing is read from the
sandbox. Each direction is read only as fast as the other side accepts it; the end of one direction is
passed on while the other continues. Nothing is sent for a sandbox whose executor has lost its lease: what
waited while this process was stopped is dropped. A connection that is refused, fails, is idle for
`idle_seconds` or lasts `total_seconds` is reset on both sides, so that neither mistakes a part for the
whole.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runwright.core.addresses import Address
from runwright.core.own_connections import open_outgoing_socket

Dial = Callable[[Address, int], Awaitable[socket.socket]]
"""Connects to an address that was allowed; OSError where that fails."""

_CHUNK_BYTES: Final = 128 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_KEEPALIVE_SECONDS: Final = 60


class EgressLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the connections and lookups of sandboxes."""

    connections: int = 256
    """Open connections of one sandbox; further ones wait to be accepted."""
    all_connections: int = 4096
    """Open connections of all sandboxes."""
    lookups: int = 4
    """Concurrent lookups of one sandbox."""
    connect_seconds: float = 15.0
    next_seconds: float = 4.0
    """How long one address of a name is tried before the next."""
    idle_seconds: float = 900.0
    total_seconds: float = 4 * 3600.0


class Traffic:
    """Counters of all sandboxes since the start."""

    __slots__ = ("connections", "open", "received", "refused", "sent")

    def __init__(self) -> None:
        self.open = 0
        self.connections = 0
        self.refused = 0
        self.sent = 0
        """Bytes from sandboxes to the outside."""
        self.received = 0


async def dial(address: Address, port: int) -> socket.socket:
    """Connect from the host's network."""
    sock = open_outgoing_socket(address)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
    except BaseException:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket) -> None:
    """Close a connection with a reset."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Relay:
    """Copies between two connected sockets until both directions have ended; closes both."""

    def __init__(
        self,
        inside: socket.socket,
        outside: socket.socket,
        *,
        limits: EgressLimits,
        traffic: Traffic,
        held: Callable[[], bool],
    ) -> None:
        """`held`: whether the executor holds the lease of the sandbox's job."""
        self._inside = inside
        self._outside = outside
        self._limits = limits
        self._traffic = traffic
        self._held = held
        self._moved = 0

    async def run(self) -> None:
        """Copy until the connection is over, however it ends."""
        clean = False
        try:
            async with asyncio.timeout(self._limits.total_seconds), asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                pumps = [
                    group.create_task(self._pump(self._inside, self._outside, sending=True)),
                    group.create_task(self._pump(self._outside, self._inside, sending=False)),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
                watch.cancel()
                clean = all(pump.done() and pump.exception() is None for pump in pumps)
        except* (OSError, TimeoutError):
            pass  # one side failed, or it took too long: both sides are reset
        finally:
            close = socket.socket.close if clean else reset
            close(self._inside)
            close(self._outside)

    async def _pump(self, source: socket.socket, sink: socket.socket, *, sending: bool) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, _CHUNK_BYTES):
            if sending:
                await self._send(sink, data)
                self._traffic.sent += len(data)
            else:
                await loop.sock_sendall(sink, data)
                self._traffic.received += len(data)
            self._moved += 1
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    async def _send(self, sink: socket.socket, data: bytes) -> None:
        """Send bytes of the sandbox; look at the lease before every system call that sends some."""
        rest = memoryview(data)
        while rest:
            if not self._held():
                raise OSError(errno.ECONNABORTED, "the executor has lost its lease")
            try:
                rest = rest[sink.send(rest) :]
            except BlockingIOError:
                await _writable(sink)

    async def _watch(self) -> None:
        moved = -1
        while moved != self._moved:
            moved = self._moved
            await asyncio.sleep(self._limits.idle_seconds)
        raise TimeoutError


async def _writable(sock: socket.socket) -> None:
    """Wait until the kernel accepts more bytes."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(sock, wake)
    try:
        await ready
    finally:
        loop.remove_writer(sock)
