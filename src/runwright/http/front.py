"""What every request passes first and last: its id, security headers, metrics, and the fast routes.

A fast route is a bare ASGI application for one exact method and path, which spares a hot request
the framework. It answers its own errors. All else goes to the application.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram

from runwright.core.clock import Clock
from runwright.http.answer import answer_headers
from runwright.http.request_id import choose_request_id, keep_request_id

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_POLICY: Final = b"content-security-policy"
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_NOTHING_ALLOWED: Final = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")


class RequestMetrics:
    """Counts and times requests by method, route template and status; tenants do not show."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "runwright_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "runwright_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("method", "route"),
            registry=registry,
            buckets=_BUCKETS,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if method in _METHODS else "other", route, status)
        children = self._children.get(key)
        if children is None:
            children = (self._count.labels(*map(str, key)), self._seconds.labels(*key[:2]))
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)


class Front:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        fast: Mapping[tuple[str, str], ASGIApp],
        allowed: Mapping[str, Iterable[str]],
        metrics: RequestMetrics,
        clock: Clock,
    ) -> None:
        """`allowed` are the methods by route template, for OPTIONS: the router forgets some."""
        self._app = app
        self._fast = dict(fast)
        self._allow = {route: ", ".join(sorted(methods)).encode() for route, methods in allowed.items()}
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = choose_request_id(dict(scope["headers"]), self._clock)
        scope.setdefault("state", {})
        keep_request_id(scope, request_id)
        method, path = str(scope["method"]), scope["path"]
        exchange = _Exchange(send, request_id.encode("ascii"), scope)
        if method == "OPTIONS":
            exchange = _OptionsExchange(send, request_id.encode("ascii"), scope, self._allow)
        fast = self._fast.get((method, path))
        try:
            await (fast or self._app)(scope, receive, exchange.send)
        finally:
            route = path if fast is not None else str(scope.get("path_template", _NO_ROUTE))
            self._metrics.observe(method, route, exchange.status, time.perf_counter() - started)


class _Exchange:
    """One request's way out."""

    __slots__ = ("_request_id", "_scope", "_send", "status")

    def __init__(self, send: Send, request_id: bytes, scope: Scope) -> None:
        self._send = send
        self._request_id = request_id
        self._scope = scope
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self._request_id), *_SECURITY]
            headers += answer_headers(self._scope)
            if all(name != _POLICY for name, _ in headers):
                headers.append(_NOTHING_ALLOWED)
            message["headers"] = headers
        await self._send(message)


class _OptionsExchange(_Exchange):
    """The way out of an OPTIONS request, which tells all methods of its route."""

    __slots__ = ("_allow",)

    def __init__(self, send: Send, request_id: bytes, scope: Scope, allow: Mapping[str, bytes]) -> None:
        super().__init__(send, request_id, scope)
        self._allow = allow

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            methods = self._allow.get(str(self._scope.get("path_template")))
            if methods is not None:
                others = [header for header in message["headers"] if header[0] != b"allow"]
                message["headers"] = [*others, (b"allow", methods)]
        await super().send(message)
