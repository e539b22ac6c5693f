"""Probes and metrics of a process without an API, on a port of their own. They need no key."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from runwright.http.response import JsonResponse
from runwright.http.services import ServerReports
from runwright.telemetry.prometheus import CONTENT_TYPE

_OK: Final = 200
_UNAVAILABLE: Final = 503
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405

Answer = Callable[[], Awaitable[Response]]


class ProbeApp:
    """An ASGI application with four paths."""

    def __init__(self, reports: ServerReports) -> None:
        self._reports = reports
        self._paths: dict[str, Answer] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/healthz": self._health,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._response(scope))(scope, receive, send)

    async def _response(self, scope: Scope) -> Response:
        answer = self._paths.get(scope["path"])
        if answer is None:
            return PlainTextResponse(f"Paths: {' '.join(self._paths)}\n", _NOT_FOUND)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("GET only\n", _NOT_ALLOWED, {"allow": "GET, HEAD"})
        response = await answer()
        response.headers["cache-control"] = "no-store"
        return response

    async def _live(self) -> Response:
        return JsonResponse({"status": "ok"}, _OK)

    async def _ready(self) -> Response:
        if await self._reports.ready():
            return JsonResponse({"status": "ready"}, _OK)
        return JsonResponse({"status": "not ready"}, _UNAVAILABLE)

    async def _health(self) -> Response:
        health = await self._reports.health()
        return JsonResponse(health, _UNAVAILABLE if health.status == "unavailable" else _OK)

    async def _metrics(self) -> Response:
        return Response(await self._reports.metrics_text(), media_type=CONTENT_TYPE)
