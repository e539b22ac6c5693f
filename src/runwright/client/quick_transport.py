"""A transport for a single quick question: a socket, and neither httpx nor a connection that is kept.

Loading httpx takes longer than everything else that completion does while a person types. HTTP/1.0 keeps the
answer simple: it ends where the connection ends.
"""

import socket
import time
from importlib import import_module
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from runwright.client.errors import Unreachable
from runwright.client.messages import ApiRequest, ApiResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from runwright.client.http_library import ServerSentEvent

_LARGEST: Final = 4 * 1024 * 1024
_PORTS: Final = {"http": 80, "https": 443}
_CHUNK: Final = 65_536


class QuickTransport:
    """Asks a server, for so many seconds in all; proxies are not asked."""

    blocking = True

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._deadline = time.monotonic() + seconds

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Return the answer to a request without a body."""
        try:
            with self._connection() as connection:
                connection.sendall(_head(urlsplit(self._url).netloc, self._path(request), request))
                return _response(self._read(connection))
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._url} does not answer: {error}.") from None

    def events(self, request: ApiRequest) -> "AsyncGenerator[ServerSentEvent, None]":
        """Refuse: streams are followed by other transports."""
        raise Unreachable(f"{request.path} is a stream.")

    async def sleep(self, seconds: float) -> None:
        """Return at once: there is no second try."""

    async def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _path(self, request: ApiRequest) -> str:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return f"{urlsplit(self._url).path}{request.path}{query}"

    def _connection(self) -> socket.socket:
        parts = urlsplit(self._url)
        address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        connection = socket.create_connection(address, timeout=self._left())
        if parts.scheme != "https":
            return connection
        context = import_module("ssl").create_default_context()
        secured: socket.socket = context.wrap_socket(connection, server_hostname=parts.hostname)
        return secured

    def _read(self, connection: socket.socket) -> bytes:
        content = bytearray()
        while len(content) <= _LARGEST:
            connection.settimeout(self._left())
            data = connection.recv(_CHUNK)
            if not data:
                return bytes(content)
            content += data
        raise ValueError("the answer is too large")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def _head(host: str, path: str, request: ApiRequest) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.0", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _response(content: bytes) -> ApiResponse:
    head, end, body = content.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if not end or not status.startswith("HTTP/1."):
        raise ValueError("the answer is not one of HTTP")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if int(headers.get("content-length", len(body))) != len(body):
        raise ValueError("the answer was cut off")
    return ApiResponse(int(status.split(" ")[1]), headers, body)
