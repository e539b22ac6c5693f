"""A connection that carries one bounded request and response at a time.

States: idle → (`send`) waiting for the head → reading the body → idle or closed.

- The heads of a response, 1xx among them, may have `HEAD_BYTES`; all bytes of a response may have that,
  twice the requested body and a reserve. This bounds everything that could be endless: header lines, chunk
  extensions, trailers, 1xx responses.
- The body is never decompressed. A body that is longer than requested closes the connection, and the
  response has what was read.
- Bytes that belong to no request close the connection.
- Timeouts are the caller's: a cancelled or failed request must be followed by `abandon`.
"""

import asyncio
from typing import Final, cast

import httptools
import msgspec

HEAD_BYTES: Final = 64 * 1024
_SPARE_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 16 * 1024
"""Received data is parsed in pieces, so that a short head before a long body has a bound of its own."""

_FIRST_FINAL_STATUS: Final = 200
_LONGEST_RETRY_AFTER: Final = 64


class HttpConnectionError(Exception):
    """The response is not HTTP/1.1, or exceeds its bounds."""


class ConnectionGoneError(HttpConnectionError):
    """The connection ended before the first byte of the response."""


class Response(msgspec.Struct, frozen=True):
    """A response. `complete`: whether `body` is the whole body; `retry_after`: the text of that header."""

    status: int
    body: bytes
    complete: bool
    retry_after: str | None = None


class HttpConnection(asyncio.Protocol):
    """The client side of a connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head: asyncio.Future[int] | None = None
        self._end: asyncio.Future[bool] | None = None
        self._received = 0
        self._limit = 0
        self._in_head = True
        self._wanted = 0
        self._body = bytearray()
        self._retry_after: str | None = None
        self._keep = False
        self.closed = False
        self.made_at = 0.0
        """When the connection was made, by the loop's clock."""

    # --- requests ------------------------------------------------------------------------

    def send(self, request: bytes, *, wanted_bytes: int) -> None:
        """Send a request on an idle connection; up to `wanted_bytes` of the response's body are kept."""
        loop = asyncio.get_running_loop()
        self._head, self._end = loop.create_future(), loop.create_future()
        self._received, self._in_head, self._keep = 0, True, False
        self._wanted, self._body, self._retry_after = wanted_bytes, bytearray(), None
        self._limit = HEAD_BYTES + 2 * wanted_bytes + _SPARE_BYTES
        if self.closed or self._transport is None:
            self._fail(ConnectionGoneError("The connection was closed."))
        else:
            self._parser = httptools.HttpResponseParser(self)
            self._transport.write(request)

    async def head(self) -> int:
        """Wait for the head of the response; return its status."""
        assert self._head is not None  # noqa: S101  after `send`
        return await self._head

    async def end(self) -> Response:
        """Wait for the end of the response, or for more than the requested body; return it."""
        assert self._end is not None  # noqa: S101  after `send`
        status = await self.head()
        complete = await self._end
        return Response(status, bytes(self._body), complete, self._retry_after)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the response is complete and both sides keep the connection."""
        return self._keep and not self.closed

    def close(self) -> None:
        """Abort the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Abort the connection of a request that failed, and let go of all that refers to this object.

        Such are the transport, the parser, and, by its traceback, what was raised from a future. What refers
        to itself stays until a collection of garbage, and one of thousands holds the loop for 100 ms.
        """
        self.close()
        self._head = self._end = self._parser = self._transport = None

    # --- callbacks of the transport ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the base class
        self.made_at = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        if self._end is None or self._end.done():
            self.close()  # no request was sent
            return
        for start in range(0, len(data), _PIECE_BYTES):
            self._feed(data[start : start + _PIECE_BYTES])

    def _feed(self, piece: bytes) -> None:
        if self.closed or self._parser is None:
            return
        self._received += len(piece)
        if self._received > (HEAD_BYTES if self._in_head else self._limit):
            self._fail(HttpConnectionError("The answer is too large."))
            return
        try:
            self._parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(HttpConnectionError("The answer is not HTTP."))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._settle(exc)
        self._parser = self._transport = None

    def _settle(self, exc: Exception | None) -> None:
        """End what waits for a request whose connection is lost."""
        if self._received == 0:
            self._fail(ConnectionGoneError("The connection was closed without an answer."))
            return
        if self._end is not None and not self._end.done() and not self._in_head and exc is None:
            self._end.set_result(True)  # a body without a length ends with the connection
            return
        self._fail(HttpConnectionError("The connection was lost before the answer was complete."))

    def _fail(self, error: HttpConnectionError) -> None:
        for waiting in (self._head, self._end):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # retrieved, for the caller may only wait for the head
        self.close()

    # --- callbacks of the parser ---------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._end is not None and self._end.done():
            self.close()  # a second response to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and len(value) <= _LONGEST_RETRY_AFTER:
            self._retry_after = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        status = 0 if self._parser is None else self._parser.get_status_code()
        if status >= _FIRST_FINAL_STATUS and self._head is not None and not self._head.done():
            self._in_head = False
            self._head.set_result(status)

    def on_body(self, body: bytes) -> None:
        if self._end is None or self._end.done():
            return
        free = self._wanted - len(self._body)
        self._body += body[:free]
        if len(body) > free:
            self._end.set_result(False)
            self.close()

    def on_message_complete(self) -> None:
        if self._in_head:
            return  # a 1xx; the final response follows
        self._keep = self._parser is not None and self._parser.should_keep_alive()
        if self._end is not None and not self._end.done():
            self._end.set_result(True)
