"""Health checks and metrics for operators and their machines. They need no key."""

from typing import Final

import msgspec
from starlette.responses import Response

from runwright.http.request import Request
from runwright.http.response import JsonResponse, Reply
from runwright.http.routing import Dialect, Routes
from runwright.telemetry.prometheus import CONTENT_TYPE

_UNAVAILABLE: Final = 503
_OK: Final = 200


class Liveness(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of the two short probes."""

    status: str
    problems: tuple[str, ...] = ()


def probe_routes(dialect: Dialect) -> Routes:
    """Return the routes, whose errors are in the format of a dialect."""
    routes = Routes(dialect, "")
    routes.add("GET", "/livez", None)(_live)
    routes.add("GET", "/readyz", None)(_ready)
    routes.add("GET", "/healthz", None)(_health)
    routes.add("GET", "/metrics", None)(_metrics)
    return routes


async def _live(_: Request) -> Liveness:
    """Return 200: the process answers."""
    return Liveness("ok")


async def _ready(request: Request) -> Reply[Liveness]:
    """Return 200 while requests can be served; 503 while stopping, and while nothing can be written."""
    reports = request.services.reports
    if await reports.ready():
        return Reply(Liveness("ready", tuple(reports.problems())), _OK)
    return Reply(Liveness("not ready", tuple(reports.problems())), _UNAVAILABLE)


async def _health(request: Request) -> Response:
    """Return the state of the server and of what it depends on."""
    health = await request.services.reports.health()
    return JsonResponse(health, _UNAVAILABLE if health.status == "unavailable" else _OK)


async def _metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(await request.services.reports.metrics_text(), media_type=CONTENT_TYPE)
