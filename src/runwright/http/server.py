"""The HTTP server, which runs the application inside our event loop.

The limits of a connection are in `connection`, how many there may be in `connection_limits`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from runwright.http.address import listen
from runwright.http.connection import LimitedProtocol
from runwright.http.connection_limits import ConnectionTable
from runwright.http.services import EdgeSettings


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
        port_is_shared: bool = False,
    ) -> None:
        """`end_waits` is called when a stop begins, and ends the requests that wait for something.

        A port that is shared is one that other processes of the server listen on too.
        """
        self._host = host
        self._port = port
        self._port_is_shared = port_is_shared
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
        listener = await listen(self._host, self._port, self._caps.backlog, shared=self._port_is_shared)
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
