"""One connection: from a sandbox, through the check, to the outside, and bytes both ways.

States: accepted -> judged -> connected -> closed. Until it is judged and connected nothing is read
from the sandbox. Each direction is read only as fast as the other side takes it; the end of one
direction is passed on while the other goes on. A connection that is refused, fails, stands still for
`idle_seconds` or lasts `total_seconds` is reset on both sides, so that neither takes what it got for
the whole.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runwright.core.addresses import Address

Dial = Callable[[Address, int], Awaitable[socket.socket]]
"""Makes a connection to an address that has passed the check; OSError where that fails."""

_CHUNK_BYTES: Final = 128 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_KEEPALIVE_SECONDS: Final = 60


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one sandbox may have, and how long a connection may last."""

    connections: int = 256
    """Of one sandbox at once; further ones wait to be accepted."""
    all_connections: int = 4096
    """Of all sandboxes at once."""
    lookups: int = 4
    """Names of one sandbox that are looked up at once."""
    connect_seconds: float = 15.0
    next_seconds: float = 4.0
    """Until the next address of a name is tried."""
    idle_seconds: float = 900.0
    total_seconds: float = 4 * 3600.0


class Traffic:
    """Counts since the start; one for all sandboxes."""

    __slots__ = ("connections", "open", "received", "refused", "sent")

    def __init__(self) -> None:
        self.open = 0
        self.connections = 0
        self.refused = 0
        self.sent = 0
        """Bytes from sandboxes to the outside."""
        self.received = 0


async def dial(address: Address, port: int) -> socket.socket:
    """Connect from the host's own network."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
    except BaseException:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket) -> None:
    """Close a connection so that the other side hears that it broke."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


class Relay:
    """Copies between two connected sockets until both directions have ended; closes both."""

    def __init__(
        self, inside: socket.socket, outside: socket.socket, *, limits: Limits, traffic: Traffic
    ) -> None:
        self._inside = inside
        self._outside = outside
        self._limits = limits
        self._traffic = traffic
        self._moved = 0

    async def run(self) -> None:
        """Return when it is over, in whatever way."""
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
            pass  # one side broke, or it took too long: both are told by a reset
        finally:
            close = socket.socket.close if clean else reset
            close(self._inside)
            close(self._outside)

    async def _pump(self, source: socket.socket, sink: socket.socket, *, sending: bool) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, _CHUNK_BYTES):
            await loop.sock_sendall(sink, data)
            self._moved += 1
            if sending:
                self._traffic.sent += len(data)
            else:
                self._traffic.received += len(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    async def _watch(self) -> None:
        moved = -1
        while moved != self._moved:
            moved = self._moved
            await asyncio.sleep(self._limits.idle_seconds)
        raise TimeoutError
