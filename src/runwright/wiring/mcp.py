"""The MCP endpoint of the HTTP server."""

import asyncio
import gc
from importlib import import_module
from types import ModuleType
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.http.hosts import is_own_host, is_own_origin
from runwright.http.services import EdgeSettings

_ROOM: Final = "runwright.mcp.http_endpoint"


class EdgeNames:
    """The names of this server, by its settings."""

    def __init__(self, edge: EdgeSettings) -> None:
        self._edge = edge

    def is_own_host(self, host: str) -> bool:
        """Return whether the header `Host` names this server."""
        return is_own_host(host, self._edge)

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Return whether web pages of this origin may call it."""
        return is_own_origin(origin, host, self._edge)


class LateMcp:
    """The MCP endpoint, which is imported with its first request: most servers never use it.

    The import takes a second and 40 MiB. It runs in a thread, so that other requests are served meanwhile.
    """

    def __init__(self, api: ASGIApp, edge: EdgeSettings, *, allow: str, worker_tools: bool) -> None:
        self._api = api
        self._allow = allow
        self._worker_tools = worker_tools
        self._names = EdgeNames(edge)
        self._importing = asyncio.Lock()
        self._endpoint: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._importing:
            if self._endpoint is None:
                room = await asyncio.to_thread(_import_room)
                self._endpoint = room.open_endpoint(
                    self._api, self._names, allow=self._allow, worker_tools=self._worker_tools
                )
        await self._endpoint(scope, receive, send)


def _import_room() -> ModuleType:
    """Import the room, whose 70,000 objects no collection of garbage looks at, neither now nor later.

    A collection holds up all threads: 50 ms for these, and several during the import.
    """
    gc.disable()
    try:
        return import_module(_ROOM)
    finally:
        gc.freeze()
        gc.enable()
