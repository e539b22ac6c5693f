"""One HTTP connection, with the limits that uvicorn's does not have.

The head of a request (line and headers) is bounded in bytes and must arrive in time, also on a connection
that never sends anything; exceeding one closes the connection. Each header counts as its text and
`HEADER_BYTES`, so their number is bounded too.

What arrives is parsed in pieces, up to a bound for each turn of the event loop: short requests, empty headers
and chunks of one byte take much longer for their size than others. While a request is answered, no more of
those behind it (pipelined ones) are parsed than one piece has. What is not parsed yet is held, and meanwhile
nothing is read. A client that does not take a response is cut off, so that no response stays in memory.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runwright.http.connection_limits import ConnectionTable
from runwright.http.event_stream import ABORT
from runwright.http.response import CONNECTION
from runwright.http.services import EdgeSettings

SLOWEST_BYTES: Final = 32 * 1024
STALL_SECONDS: Final = 20.0
"""A client that takes less of a response than `SLOWEST_BYTES` in this time is cut off."""

HEADER_BYTES: Final = 32
PIECE_BYTES: Final = 2048
STEPS_PER_TURN: Final = 200
"""Headers, parts of bodies and requests that are parsed in one turn of the loop, and one piece more."""

_REQUEST_STEPS: Final = 20
"""How many headers a request takes the time of."""

_HEAD: Final = b"HTTP/1.1 "
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class _HeldFlow(FlowControl):
    """Flow control that resumes reading only when nothing is held."""

    held = False

    def resume_reading(self) -> None:
        """Read again, unless what was read before is still held."""
        if not self.held:
            super().resume_reading()


class JoinedWrites:
    """A transport that writes the head of a response together with the beginning of its body.

    Uvicorn writes them apart, and each write is a call of the kernel and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever a transport has
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)  # where no body follows at once
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")


class LimitedProtocol(HttpToolsProtocol):
    """A connection with the limits of the edge."""

    flow: _HeldFlow

    def __init__(
        self,
        edge: EdgeSettings,
        table: ConnectionTable,
        *,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._edge = edge
        self._table = table
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._heads = 0
        self._unparsed = b""
        self._steps = 0
        self._continuing = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self.is_lost = False
        self._on_lost: set[Callable[[], None]] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", JoinedWrites(transport, self.loop))
        self.flow = _HeldFlow(transport)
        if self._table.add(self, self.client[0] if self.client else None):
            self._start_timer()
        else:
            self.transport.write(_TOO_MANY)
            self.transport.close()

    def close_idle(self) -> None:
        self.transport.abort()

    def reset(self) -> None:
        """Drop the connection, and what the kernel would still send: the client takes nothing."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def caller_is_known(self) -> None:
        """Keep the connection until the response to the present request is sent."""
        self._table.set_busy(self)

    @property
    def has_whole_body(self) -> bool:
        """Whether the body of the present request has arrived, as those of all requests before the last."""
        return not self.cycle.more_body

    @contextlib.contextmanager
    def when_lost(self, act: Callable[[], None]) -> Iterator[None]:
        """Call a function if the connection is lost in the block, or was before it."""
        if self.is_lost:
            act()
        self._on_lost.add(act)
        try:
            yield
        finally:
            self._on_lost.discard(act)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no other request has been waiting
            self._table.set_idle(self)
        self._continue_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.discard(self)
        self._stop_timer()
        self._stop_stall_timer()
        self._unparsed = b""
        super().connection_lost(exc)
        self.is_lost = True
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None:
                cycle.body.clear()  # it cannot be received any more
        for act in list(self._on_lost):
            act()

    # What is sent: a response that is not taken is in memory

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_stall_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()

    def _check_stall_later(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self._check_stall)

    def _check_stall(self) -> None:
        if self._unsent_bytes - self.transport.get_write_buffer_size() < SLOWEST_BYTES:
            self.reset()
        else:
            self._check_stall_later()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    # What arrives

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        if not self._continuing:
            self._steps = 0
            self._parse()

    def _parse(self) -> None:
        """Parse what has arrived, up to the bounds, and hold the rest."""
        data, offset = self._unparsed, 0
        while offset < len(data) and self._steps < STEPS_PER_TURN and not self._must_wait():
            begins, heads = self.timeout_keep_alive_task is not None, self._heads
            super().data_received(data[offset : offset + PIECE_BYTES])
            offset += PIECE_BYTES
            if begins and self._heads == heads:  # the next request, of which more is to come
                self._start_timer()
        self._unparsed = b"" if self.transport.is_closing() else data[offset:]
        self.flow.held = bool(self._unparsed)
        if self._unparsed:
            self.flow.pause_reading()
            self._continue_soon()

    def _must_wait(self) -> bool:
        """Return whether nothing more may be parsed before a response is complete, or ever."""
        return bool(self.pipeline) or self.transport.is_closing()

    def _continue_soon(self) -> None:
        if self._unparsed and not self._continuing and not self._must_wait():
            self._continuing = True
            self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._continuing = False
        self._steps = 0
        self._parse()
        if not (self._unparsed or self._must_wait() or self._has_large_body()):
            self.flow.resume_reading()

    def _has_large_body(self) -> bool:
        """Return whether so much of a body waits that uvicorn reads on only when that is taken."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and len(cycle.body) > HIGH_WATER_LIMIT

    def on_message_begin(self) -> None:
        self._steps += _REQUEST_STEPS
        self._head_bytes = 0
        super().on_message_begin()
        self.scope["extensions"] = cast("Any", {ABORT: self.reset, CONNECTION: self})

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + HEADER_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._heads += 1
        self._stop_timer()
        if not self.transport.is_closing():
            self._table.set_unknown(self)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._steps += 1
        super().on_body(body)

    def _count(self, size: int) -> None:
        self._steps += 1
        self._head_bytes += size
        if self._head_bytes > self._edge.head_limit_bytes and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _start_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._edge.head_seconds, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
