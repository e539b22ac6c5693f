"""The application of all dialects."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar, Response
from litestar import Request as LitestarRequest
from litestar.datastructures import State
from starlette.types import Receive, Scope, Send

from runwright import __version__
from runwright.http.agh import errors as agh_errors
from runwright.http.agh.document import describe_api as describe_agh
from runwright.http.agh.routes import AGH_ROUTES
from runwright.http.asgi_entry import AsgiEntry, RequestMetrics
from runwright.http.ava.dialect import AVA
from runwright.http.ava.routes import ava_routes
from runwright.http.avala.dialect import AVALA
from runwright.http.avala.routes import avala_routes
from runwright.http.front import Front
from runwright.http.probes import probe_routes
from runwright.http.response import OpenStreams
from runwright.http.routing import Dialect, Route, SegmentRouter
from runwright.http.services import EdgeSettings, EdgeState, Services
from runwright.http.uploads import Uploads

DIALECTS: Final[Sequence[Dialect]] = (AVALA, AVA)
"""The first whose prefix a path has formats the errors of paths that do not exist."""


class Application:
    """The ASGI application, and the routes that it serves."""

    def __init__(self, services: Services, edge: EdgeSettings) -> None:
        self.services = services
        self.routes: Sequence[Route] = [*ava_routes(), *avala_routes(), *probe_routes(AVA)]
        state = EdgeState(
            services,
            edge,
            OpenStreams(limit=edge.streams, limit_per_tenant=edge.streams_per_tenant),
            Uploads(edge.spool_dir, edge.upload_limit_bytes),
        )
        metrics = RequestMetrics(services.metrics)
        router = SegmentRouter(self.routes, state, DIALECTS)
        self._entry = AsgiEntry(router, metrics=metrics, clock=services.clock)
        self.legacy = _legacy_app(services, edge, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = f"{scope['path']}/"
        if path.startswith("/api/") and not path.startswith(AVALA.prefix):
            await self.legacy(scope, receive, send)  # type: ignore[arg-type]
        else:
            await self._entry(scope, receive, send)


def build_app(services: Services, edge: EdgeSettings) -> Application:
    """Return the whole application; its `routes` show which role each operation needs."""
    return Application(services, edge)


def _legacy_app(services: Services, edge: EdgeSettings, metrics: RequestMetrics) -> Litestar:
    """Return the application of the dialects that are not ported to `routing` yet."""
    state = {"services": services, "edge": edge}
    app = Litestar(
        route_handlers=[*AGH_ROUTES],
        exception_handlers={Exception: _respond_to_error},
        state=State(state),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    app.state.agh_document = msgspec.json.encode(describe_agh(app.routes, __version__))
    app.asgi_handler = Front(
        app.asgi_handler,
        fast={},
        allowed={route.path_format: route.methods for route in app.routes},
        metrics=metrics,  # type: ignore[arg-type]
        clock=services.clock,
    )
    return app


def _respond_to_error(request: LitestarRequest[Any, Any, Any], error: Exception) -> Response[bytes]:
    return agh_errors.respond_to_error(request, error)
