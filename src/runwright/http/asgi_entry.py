"""The outermost ASGI application: gives every request an id, and every response its headers and metrics."""

import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright.core.clock import Clock
from runwright.core.ids import new_id
from runwright.db.availability import Availability
from runwright.db.patience import patience
from runwright.http.cross_origin import CrossOrigin, Headers
from runwright.http.response import added_headers
from runwright.telemetry.prometheus import MetricRegistry

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DEFAULTS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Headers of responses that do not have their own."""


class _Date:
    """The header with the time of a response, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._header = (b"date", b"")

    def header(self) -> tuple[bytes, bytes]:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._header = (b"date", formatdate(second, usegmt=True).encode("ascii"))
        return self._header


_date: Final = _Date()


class RequestMetrics:
    """Counts and times requests by method, route template and status, never by tenant."""

    def __init__(self, registry: MetricRegistry) -> None:
        self._requests = registry.counter(
            "runwright_http_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = registry.histogram(
            "runwright_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            _BUCKETS,
            ("method", "route"),
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        if method not in _METHODS:
            method = "other"
        self._requests.inc(method, route, status)
        self._seconds.observe(seconds, method, route)


class AsgiEntry:
    """Wraps the router."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        clock: Clock,
        availability: Availability | None = None,
        cors: CrossOrigin | None = None,
    ) -> None:
        """`availability` is that of the database that requests wait for; `cors`: default none."""
        self._app = app
        self._cors = cors or CrossOrigin(())
        self._availability = availability or Availability()
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = _choose_request_id(headers, self._clock)
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(send, request_id.encode("ascii"), scope, self._cors.response_headers(headers))
        preflight = self._cors.preflight(scope["method"], headers)
        try:
            with patience(self._availability):
                await (preflight or self._app)(scope, receive, exchange.send)
        finally:
            route = scope.get("path_template", _NO_ROUTE)
            self._metrics.observe(scope["method"], route, exchange.status, time.perf_counter() - started)


class _Exchange:
    """Adds headers to one response, and keeps its status."""

    __slots__ = ("_cors", "_request_id", "_scope", "_send", "status")

    def __init__(self, send: Send, request_id: bytes, scope: Scope, cors: Headers) -> None:
        self._cors = cors
        self._send = send
        self._request_id = request_id
        self._scope = scope
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own: list[tuple[bytes, bytes]] = message["headers"]
            headers = [
                *own,
                _date.header(),
                (b"x-request-id", self._request_id),
                *_SECURITY,
                *self._cors,
                *added_headers(self._scope),
            ]
            names = {name for name, _ in own}
            headers.extend(default for default in _DEFAULTS if default[0] not in names)
            message["headers"] = headers
        await self._send(message)


def _choose_request_id(headers: Mapping[bytes, bytes], clock: Clock) -> str:
    """Return the client's own id if it is well-formed, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _GIVEN_ID.fullmatch(given):
        return given.decode("ascii")
    return new_id("req", clock())
