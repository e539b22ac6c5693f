"""An HTTP client for URLs that users choose, safe against server-side request forgery (SSRF).

Timeouts: `total_seconds` from name resolution to the head of the response (and its body, if requested);
within it `CONNECT_SECONDS` for name resolution, connection and TLS. Certificates are verified against the
URL's host. Nothing in the environment (proxies, netrc) is used. There are no cookies, no redirects and no
decompression.

Connections are pooled by origin: at most `IDLE_PER_ORIGIN` are kept idle, for `IDLE_SECONDS`, and none is
used for longer than `AGE_SECONDS`, so that new addresses of the name come into use. One that the other side
closed while it was idle is replaced once.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from runwright.core.addresses import Address
from runwright.core.own_connections import OUTGOING_AGENT, open_outgoing_socket
from runwright.dns.host_resolver import HostResolver
from runwright.outbox.client.http_connection import (
    ConnectionGoneError,
    HttpConnection,
    HttpConnectionError,
    Response,
)
from runwright.outbox.client.ssrf_guard import RefusedError, Resolve, allowed_addresses
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrl, OutgoingUrlError, parse_target

CONNECT_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 15.0
AGE_SECONDS: Final = 60.0
IDLE_PER_ORIGIN: Final = 16
DRAIN_BYTES: Final = 64 * 1024
DRAIN_SECONDS: Final = 1.0
_ONE_ADDRESS_SECONDS: Final = 2.0
"""How long one of several addresses may take before the next is tried."""

Origin = tuple[bool, str, int]
"""Whether it is https, host and port: requests of one origin share connections."""


class OutgoingError(Exception):
    """There is no response; the message is for the user who gave the URL. `refused`: by the policy."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.refused = refused


class _Idle(msgspec.Struct, frozen=True):
    connection: HttpConnection
    timer: asyncio.TimerHandle


class OutgoingClient:
    """The client; `stop` closes idle connections."""

    def __init__(
        self, policy: OutgoingPolicy, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy = policy
        self._own_resolver = HostResolver()
        self._resolve: Resolve = resolve or self._own_resolver
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._idle: dict[Origin, deque[_Idle]] = {}
        self._stopped = False

    @property
    def idle_connections(self) -> int:
        """The number of idle connections."""
        return sum(map(len, self._idle.values()))

    async def stop(self) -> None:
        """Close idle connections; those in use are closed after their response."""
        self._stopped = True
        for waiting in self._idle.values():
            for one in waiting:
                one.timer.cancel()
                one.connection.close()
        self._idle.clear()
        await self._own_resolver.close()

    async def post(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        total_seconds: float,
        wanted_bytes: int = 0,
    ) -> Response:
        """Send a POST and return the response, with up to `wanted_bytes` of its body.

        If that is 0, return as soon as the head has arrived. OutgoingError where there is no response;
        nothing else is raised.
        """
        try:
            parsed = parse_target(url)
            self._require_allowed(parsed)
            request = _request(parsed, headers, body)
            async with asyncio.timeout(total_seconds) as deadline:
                return await self._send(parsed, request, wanted_bytes, deadline)
        except TimeoutError:
            raise OutgoingError(f"No answer within {total_seconds:g} seconds.") from None
        except OutgoingUrlError as error:
            raise OutgoingError(f"The URL cannot be used. {error}", refused=True) from None
        except RefusedError as error:
            raise OutgoingError(str(error), refused=True) from None
        except HttpConnectionError as error:
            raise OutgoingError(str(error)) from None

    def _require_allowed(self, url: OutgoingUrl) -> None:
        """Raise RefusedError for a URL that the policy refuses, also where a connection is open already."""
        if reason := self.policy.refuse_target(url):
            raise RefusedError(f"The URL {reason}.")

    async def _send(
        self, url: OutgoingUrl, request: bytes, wanted_bytes: int, deadline: asyncio.Timeout
    ) -> Response:
        origin = (url.secure, url.host, url.port)
        idle = self._take_idle(origin)
        if idle is not None:
            with contextlib.suppress(ConnectionGoneError):  # closed by the other side while it was idle
                return await self._round_trip(origin, idle, request, wanted_bytes, deadline)
        return await self._round_trip(origin, await self._connect(url), request, wanted_bytes, deadline)

    async def _round_trip(
        self,
        origin: Origin,
        connection: HttpConnection,
        request: bytes,
        wanted_bytes: int,
        deadline: asyncio.Timeout,
    ) -> Response:
        try:
            connection.send(request, wanted_bytes=wanted_bytes or DRAIN_BYTES)
            if wanted_bytes:
                response = await connection.end()
            else:
                response = Response(await connection.head(), b"", complete=False)
                deadline.reschedule(None)
                await _drain(connection)
        except BaseException:
            connection.abandon()
            raise
        self._release(origin, connection)
        return response

    # --- connections -----------------------------------------------------------------------

    async def _connect(self, url: OutgoingUrl) -> HttpConnection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect_somewhere(url)
        except TimeoutError:
            raise OutgoingError(f"No connection within {CONNECT_SECONDS:g} seconds.") from None

    async def _connect_somewhere(self, url: OutgoingUrl) -> HttpConnection:
        try:
            addresses = await allowed_addresses(url, self.policy, self._resolve)
        except OSError:
            raise OutgoingError("The URL's host has no address.") from None
        problem = "The connection was refused."
        for address in addresses:
            timeout_seconds = CONNECT_SECONDS if address is addresses[-1] else _ONE_ADDRESS_SECONDS
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._connect_to(url, address)
            except ssl.SSLCertVerificationError as error:
                problem = f"The certificate is not valid: {error.verify_message}."
            except ssl.SSLError:
                problem = "No TLS connection could be made."
            except OSError as error:  # a TimeoutError is one
                problem = "The connection timed out." if isinstance(error, TimeoutError) else problem
        raise OutgoingError(problem)

    async def _connect_to(self, url: OutgoingUrl, address: Address) -> HttpConnection:
        loop = asyncio.get_running_loop()
        sock = open_outgoing_socket(address)
        try:
            await loop.sock_connect(sock, (str(address), url.port))
            self._check_peer(url, sock)
        except BaseException:
            sock.close()
            raise
        connection = HttpConnection()
        try:
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls if url.secure else None,
                server_hostname=url.host if url.secure else None,
            )
        except BaseException:
            connection.abandon()
            raise
        return connection

    def _check_peer(self, url: OutgoingUrl, sock: socket.socket) -> None:
        """Raise RefusedError where the connection has ended at an address that is not allowed."""
        peer = ip_address(str(sock.getpeername()[0]).partition("%")[0])
        name = None if url.address is not None else url.host
        if reason := self.policy.refuse_address(name, peer, url.port):
            raise RefusedError(f"The URL's host has a {reason}.")

    def _take_idle(self, origin: Origin) -> HttpConnection | None:
        waiting = self._idle.get(origin)
        while waiting:
            one = waiting.pop()
            one.timer.cancel()
            if not waiting:
                del self._idle[origin]
            if not one.connection.closed:
                return one.connection
        return None

    def _release(self, origin: Origin, connection: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._idle.get(origin, ())
        too_old = loop.time() - connection.made_at > AGE_SECONDS
        if self._stopped or too_old or not connection.reusable or len(waiting) >= IDLE_PER_ORIGIN:
            connection.close()
            return
        timer = loop.call_later(IDLE_SECONDS, self._expire, origin, connection)
        self._idle.setdefault(origin, deque()).append(_Idle(connection, timer))

    def _expire(self, origin: Origin, connection: HttpConnection) -> None:
        connection.close()
        left = deque(one for one in self._idle.get(origin, ()) if one.connection is not connection)
        if left:
            self._idle[origin] = left
        else:
            self._idle.pop(origin, None)


async def _drain(connection: HttpConnection) -> None:
    """Read the rest of a response for a moment, so that the connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await connection.end()
    except (TimeoutError, HttpConnectionError):
        connection.abandon()


def _request(url: OutgoingUrl, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    fixed: Mapping[str, str] = {
        "Host": url.authority,
        "User-Agent": OUTGOING_AGENT,
        "Accept-Encoding": "identity",
        "Content-Length": str(len(body)),
    }
    lines = [
        f"POST {url.resource} HTTP/1.1",
        *(f"{name}: {value}" for name, value in (*fixed.items(), *headers)),
    ]
    if any(not line.isprintable() for line in lines):
        raise ValueError("a header has characters that are not printable")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body
