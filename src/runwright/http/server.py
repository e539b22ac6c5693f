"""The HTTP server, which runs the application inside our event loop.

The head of a request (line and headers) is bounded in bytes and must arrive in time, also on a
connection that never sends anything; uvicorn has no such limits. Exceeding one closes the connection. How
many there may be is in `connection_limits`.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Generator
from functools import partial
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runwright.core.errors import RunwrightError
from runwright.http.app import Application
from runwright.http.connection_limits import ConnectionTable
from runwright.http.event_stream import ABORT
from runwright.http.services import EdgeSettings, Services

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class LimitedProtocol(HttpToolsProtocol):
    """A connection with the limits of the edge."""

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._table.add(self, self.client[0] if self.client else None):
            self._start_timer()
        else:
            transport.write(_TOO_MANY)
            transport.close()

    def close_idle(self) -> None:
        self.transport.abort()

    def reset(self) -> None:
        """Drop the connection, and what the kernel would still send: the client takes nothing."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # no other request has been waiting
            self._table.set_idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.discard(self)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:  # the next request begins
            self._start_timer()
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()
        self.scope["extensions"] = cast("Any", {ABORT: self.reset})

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self._table.set_busy(self)
            super().on_headers_complete()

    def _count(self, size: int) -> None:
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


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers, which ends waiting requests when it shuts down."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # first, so that responses from now on announce the end of the connection
        self._services.events.feed.end()
        self._services.jobs.end_waits()
        self._services.job_views.end_tails()
        self._services.deployments.end_waits()
        self._services.automations.runs.end_waits()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Listens and serves until stopped; `stop` may be called unstarted and twice."""

    def __init__(self, app: Application, *, host: str, port: int, edge: EdgeSettings) -> None:
        self._host = host
        self._port = port
        self._caps = edge.connections
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                loop="none",
                http=cast(
                    "type[asyncio.Protocol]", partial(LimitedProtocol, edge, ConnectionTable(self._caps))
                ),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=self._caps.backlog,
                timeout_keep_alive=edge.keep_alive_seconds,
                timeout_graceful_shutdown=edge.stop_seconds,
            ),
            app.services,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the address as a URL; AddressError if that is not possible."""
        listener = await listen(self._host, self._port, self._caps.backlog)
        host, port = listener.getsockname()[:2]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Accept no more requests, finish those in progress within `stop_seconds`, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class AddressError(RunwrightError):
    """The server cannot listen on its address."""

    code = "address"


async def check_address(host: str, port: int) -> None:
    """Raise AddressError if the server could not listen there now, before anything else is started."""
    (await listen(host, port, 1)).close()


async def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket. Raises AddressError, which names what to do."""
    try:
        return await _bind(host, port, backlog)
    except OSError as error:
        raise AddressError(_explain(error, host, port)) from None


def _explain(error: OSError, host: str, port: int) -> str:
    choose = "with --port or RUNWRIGHT_PORT"
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Stop the other program, or choose another port {choose}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs privileges that this user does not have. Choose one above 1023 {choose}."
    reason = error.strerror or str(error)
    return f"Cannot listen on {host}, port {port}: {reason}. Choose another with --host or RUNWRIGHT_HOST."


async def _bind(host: str, port: int, backlog: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003  as the socket module has it
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
