"""What operators and their machines ask: is it alive, ready, healthy; and its metrics. No key needed."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from runwright.http.services import services_of

_UNAVAILABLE: Final = 503
_OK: Final = 200

ProbeRequest = Request[Any, Any, Any]


class Liveness(msgspec.Struct, frozen=True):
    """The answer of the two short probes."""

    status: str


@get("/livez")
async def live() -> Liveness:
    """Say that the process answers."""
    return Liveness("ok")


@get("/readyz")
async def ready(request: ProbeRequest) -> Response[Liveness]:
    """Say whether requests can be served: 503 until then, and while stopping."""
    if services_of(request).ready():
        return Response(Liveness("ready"), status_code=_OK)
    return Response(Liveness("not ready"), status_code=_UNAVAILABLE)


@get("/healthz")
async def health(request: ProbeRequest) -> Response[bytes]:
    """Say how the server and what it leans on are."""
    state = await services_of(request).health()
    status = _UNAVAILABLE if state.status == "unavailable" else _OK
    return Response(msgspec.json.encode(state), status_code=status, media_type="application/json")


@get("/metrics")
async def metrics(request: ProbeRequest) -> Response[bytes]:
    """Show the metrics in Prometheus' text format."""
    text = generate_latest(services_of(request).metrics)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def probe_routes() -> list[HTTPRouteHandler]:
    return [live, ready, health, metrics]
