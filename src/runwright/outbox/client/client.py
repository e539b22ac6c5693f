"""Sends requests to where users say, safely.

The clock: `total_seconds` from the first look at the name to the answer's head (and its body, where
that is wanted); within it `connect_seconds` for name, connection and TLS. Certificates are verified
against the URL's host. Nothing in the environment (proxies, netrc) has a say. There are no cookies,
no redirects, no decompression.

Connections are used again for the same scheme, host and port: at most `IDLE_PER_HOST` wait there,
for `IDLE_SECONDS`, and none is used for longer than `AGE_SECONDS`, so that a change of the name's
addresses is noticed. One that was closed while it waited is replaced once.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from runwright.core.addresses import Address
from runwright.outbox.client.http_connection import (
    ConnectionGoneError,
    HttpConnection,
    HttpConnectionError,
    Response,
)
from runwright.outbox.client.ssrf_guard import RefusedError, Resolve, SystemResolver, judged_addresses
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrl, OutgoingUrlError, parse_target

CONNECT_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 15.0
AGE_SECONDS: Final = 60.0
IDLE_PER_HOST: Final = 16
DRAIN_BYTES: Final = 64 * 1024
DRAIN_SECONDS: Final = 1.0
_USER_AGENT: Final = "Runwright-Webhooks/1"
_ALONE_SECONDS: Final = 2.0
"""How long one of several addresses may take before the next is tried."""

Line = tuple[bool, str, int]
"""Scheme, host and port: who may share connections."""


class OutgoingError(Exception):
    """A request that got no answer; the message says why, for whoever gave the URL."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.refused = refused


class _Idle(msgspec.Struct, frozen=True):
    exchange: HttpConnection
    timer: asyncio.TimerHandle


class OutgoingClient:
    """The guarded client. `stop` closes what is idle."""

    def __init__(
        self, policy: OutgoingPolicy, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy = policy
        self._own_resolver: SystemResolver | None = None
        if resolve is None:
            resolve = self._own_resolver = SystemResolver()
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._idle: dict[Line, deque[_Idle]] = {}
        self._stopped = False

    @property
    def idle_connections(self) -> int:
        """How many connections wait for their next use."""
        return sum(map(len, self._idle.values()))

    async def stop(self) -> None:
        """Close idle connections; those under way are closed when their exchange is over."""
        self._stopped = True
        for waiting in self._idle.values():
            for one in waiting:
                one.timer.cancel()
                one.exchange.close()
        self._idle.clear()
        if self._own_resolver is not None:
            self._own_resolver.stop()

    async def post(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        total_seconds: float,
        wanted_bytes: int = 0,
    ) -> Response:
        """Send a POST and return the answer, with up to `wanted_bytes` of its body.

        Where none are wanted, the answer's head ends the exchange. OutgoingError where there is no
        answer; nothing else is raised.
        """
        try:
            target = parse_target(url)
            request = _request(target, headers, body)
            async with asyncio.timeout(total_seconds) as clock:
                return await self._send(target, request, wanted_bytes, clock)
        except TimeoutError:
            raise OutgoingError(f"No answer within {total_seconds:g} seconds.") from None
        except OutgoingUrlError as error:
            raise OutgoingError(f"The URL cannot be used. {error}", refused=True) from None
        except RefusedError as error:
            raise OutgoingError(str(error), refused=True) from None
        except HttpConnectionError as error:
            raise OutgoingError(str(error)) from None

    async def _send(
        self, target: OutgoingUrl, request: bytes, wanted_bytes: int, clock: asyncio.Timeout
    ) -> Response:
        line = (target.secure, target.host, target.port)
        kept = self._take(line)
        if kept is not None:
            with contextlib.suppress(ConnectionGoneError):  # it was closed while it waited
                return await self._exchange(line, kept, request, wanted_bytes, clock)
        return await self._exchange(line, await self._connect(target), request, wanted_bytes, clock)

    async def _exchange(
        self, line: Line, exchange: HttpConnection, request: bytes, wanted_bytes: int, clock: asyncio.Timeout
    ) -> Response:
        try:
            exchange.ask(request, wanted_bytes=wanted_bytes or DRAIN_BYTES)
            if wanted_bytes:
                response = await exchange.end()
            else:
                response = Response(await exchange.head(), b"", complete=False)
                clock.reschedule(None)
                await _drain(exchange)
        except BaseException:
            exchange.close()
            raise
        self._give_back(line, exchange)
        return response

    # --- connections -----------------------------------------------------------------------

    async def _connect(self, target: OutgoingUrl) -> HttpConnection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect_somewhere(target)
        except TimeoutError:
            raise OutgoingError(f"No connection within {CONNECT_SECONDS:g} seconds.") from None

    async def _connect_somewhere(self, target: OutgoingUrl) -> HttpConnection:
        try:
            addresses = await judged_addresses(target, self.policy, self._resolve)
        except OSError:
            raise OutgoingError("The URL's host has no address.") from None
        problem = "The connection was refused."
        for address in addresses:
            patience = CONNECT_SECONDS if address is addresses[-1] else _ALONE_SECONDS
            try:
                async with asyncio.timeout(patience):
                    return await self._connect_to(target, address)
            except ssl.SSLCertVerificationError as error:
                problem = f"The certificate is not valid: {error.verify_message}."
            except ssl.SSLError:
                problem = "No TLS connection could be made."
            except OSError as error:  # a TimeoutError is one
                problem = "The connection timed out." if isinstance(error, TimeoutError) else problem
        raise OutgoingError(problem)

    async def _connect_to(self, target: OutgoingUrl, address: Address) -> HttpConnection:
        transport, exchange = await asyncio.get_running_loop().create_connection(
            HttpConnection,
            str(address),
            target.port,
            ssl=self._tls if target.secure else None,
            server_hostname=target.host if target.secure else None,
        )
        peer = ip_address(str(transport.get_extra_info("peername")[0]).partition("%")[0])
        name = None if target.address is not None else target.host
        if why := self.policy.refuse_address(name, peer, target.port):
            exchange.close()
            raise RefusedError(f"The URL's host has a {why}.")
        return exchange

    def _take(self, line: Line) -> HttpConnection | None:
        waiting = self._idle.get(line)
        while waiting:
            one = waiting.pop()
            one.timer.cancel()
            if not waiting:
                del self._idle[line]
            if not one.exchange.closed:
                return one.exchange
        return None

    def _give_back(self, line: Line, exchange: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._idle.get(line, ())
        old = loop.time() - exchange.made_at > AGE_SECONDS
        if self._stopped or old or not exchange.reusable or len(waiting) >= IDLE_PER_HOST:
            exchange.close()
            return
        timer = loop.call_later(IDLE_SECONDS, self._give_up, line, exchange)
        self._idle.setdefault(line, deque()).append(_Idle(exchange, timer))

    def _give_up(self, line: Line, exchange: HttpConnection) -> None:
        exchange.close()
        left = deque(one for one in self._idle.get(line, ()) if one.exchange is not exchange)
        if left:
            self._idle[line] = left
        else:
            self._idle.pop(line, None)


async def _drain(exchange: HttpConnection) -> None:
    """Let the rest of an answer come for a moment, only so that the connection can be kept."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await exchange.end()
    except (TimeoutError, HttpConnectionError):
        exchange.close()


def _request(target: OutgoingUrl, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    own: Mapping[str, str] = {
        "Host": target.authority,
        "User-Agent": _USER_AGENT,
        "Accept-Encoding": "identity",
        "Content-Length": str(len(body)),
    }
    lines = [
        f"POST {target.resource} HTTP/1.1",
        *(f"{name}: {value}" for name, value in (*own.items(), *headers)),
    ]
    if any(not line.isprintable() for line in lines):
        raise ValueError("a header holds what no header may")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body
