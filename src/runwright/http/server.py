"""The HTTP server, which runs the application inside our event loop.

The limits of a connection are in `connection`, how many there may be in `connection_limits`.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from runwright.core.errors import RunwrightError
from runwright.http.connection import LimitedProtocol
from runwright.http.connection_limits import ConnectionTable
from runwright.http.services import EdgeSettings

RECEIVE_BYTES: Final = 256 * 1024
"""What the kernel keeps of a connection that is not read; it would let clients send several MiB."""


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers, which ends waiting requests when it shuts down."""

    def __init__(self, config: uvicorn.Config, end_waits: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_waits = end_waits
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Wait for the stop, for which uvicorn looks ten times a second."""
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # first, so that responses from now on announce the end of the connection
        self._end_waits()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Listens and serves until stopped; `stop` may be called unstarted and twice."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        edge: EdgeSettings,
        end_waits: Callable[[], None] = lambda: None,
    ) -> None:
        """`end_waits` is called when a stop begins, and ends the requests that wait for something."""
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
                date_header=False,  # AsgiEntry adds it
                proxy_headers=False,
                backlog=self._caps.backlog,
                timeout_keep_alive=edge.keep_alive_seconds,
                timeout_graceful_shutdown=edge.stop_seconds,
            ),
            end_waits,
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
        self._server.stopping.set()
        if self._serving is not None:
            await self._serving


class AddressError(RunwrightError):
    """The server cannot listen on its address."""

    code = "address"


async def check_address(host: str, port: int, *, setting: str = "port") -> None:
    """Raise AddressError if the server could not listen there now, before anything else is started."""
    (await listen(host, port, 1, setting=setting)).close()


async def listen(host: str, port: int, backlog: int, *, setting: str = "port") -> socket.socket:
    """Return a listening socket. Raises AddressError, which names what to do."""
    try:
        return await _bind(host, port, backlog)
    except OSError as error:
        raise AddressError(_explain(error, host, port, setting)) from None


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    choose = f"with --{setting.replace('_', '-')} or RUNWRIGHT_{setting.upper()}"
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
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # connections inherit it
        listener.setblocking(False)  # noqa: FBT003  as the socket module has it
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
