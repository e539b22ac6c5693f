"""The server that runs the application inside our event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from functools import partial
from typing import Final, cast

import uvicorn

from runwright.http.app import Application
from runwright.http.connection import LimitedProtocol
from runwright.http.services import EdgeSettings, Services

_BACKLOG: Final = 2048


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves the process's signals alone, and lets nobody wait for an end in a shutdown."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # first, so that who is answered now hears that the connection ends
        self._services.jobs.end_waits()
        self._services.automations.runs.end_waits()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Listens and serves until stopped. Safe to stop unstarted and twice."""

    def __init__(self, app: Application, *, host: str, port: int, edge: EdgeSettings) -> None:
        self._host = host
        self._port = port
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                loop="none",
                http=cast("type[asyncio.Protocol]", partial(LimitedProtocol, edge)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=edge.keep_alive_seconds,
                timeout_graceful_shutdown=edge.stop_seconds,
            ),
            app.services,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the address as a URL; OSError where the port is taken."""
        listener = await _listen(self._host, self._port)
        host, port = listener.getsockname()[:2]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Take no more requests, finish those under way within their time, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


async def _listen(host: str, port: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003  as the socket module has it
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
