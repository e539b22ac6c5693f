"""The application of all dialects."""

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.docs_site.site import DocsSite
from runwright.http.agh.errors import AGH
from runwright.http.agh.routes import agh_routes
from runwright.http.asgi_entry import AsgiEntry, RequestMetrics
from runwright.http.ava.dialect import AVA
from runwright.http.ava.routes import ava_routes
from runwright.http.avala.dialect import AVALA
from runwright.http.avala.routes import avala_routes
from runwright.http.cross_origin import CrossOrigin
from runwright.http.docs.routes import docs_routes
from runwright.http.probes import probe_routes
from runwright.http.response import OpenStreams
from runwright.http.routing import Dialect, Route, SegmentRouter
from runwright.http.services import EdgeSettings, EdgeState, Services
from runwright.http.uploads import Uploads
from runwright.http.web.routes import web_routes
from runwright.web.files import Dashboard

DIALECTS: Final[Sequence[Dialect]] = (AVALA, AGH, AVA)
"""The first whose prefix a path has formats the errors of paths that do not exist."""


class Application:
    """The ASGI application, and the routes that it serves."""

    def __init__(self, services: Services, edge: EdgeSettings) -> None:
        self.services = services
        self._base_path = f"{edge.base_path}/" if edge.base_path else ""
        self.routes: Sequence[Route] = [
            *ava_routes(),
            *avala_routes(),
            *agh_routes(),
            *probe_routes(AVA),
            *docs_routes(AVA, DocsSite.open()),
            *web_routes(AVA, Dashboard.open(), edge.base_path),
        ]
        state = EdgeState(
            services,
            edge,
            OpenStreams(limit=edge.streams, limit_per_tenant=edge.streams_per_tenant),
            Uploads(edge.spool_dir, edge.upload_limit_bytes),
        )
        metrics = RequestMetrics(services.reports.metrics)
        self._router = SegmentRouter(self.routes, state, DIALECTS)
        self._mounted: dict[str, ASGIApp] = {}
        self._entry = AsgiEntry(
            self._dispatch,
            metrics=metrics,
            clock=services.clock,
            availability=services.availability,
            cors=CrossOrigin(edge.cors_origins),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._base_path and scope["path"].startswith(self._base_path):
            scope = _below(self._base_path, scope)
        await self._entry(scope, receive, send)

    def mount(self, path: str, app: ASGIApp) -> None:
        """Let another application answer the requests to a path."""
        self._mounted[path] = app

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._mounted.get(scope["path"])
        if app is None:
            await self._router(scope, receive, send)
        else:
            scope["path_template"] = scope["path"]
            await app(scope, receive, send)


def _below(base: str, scope: Scope) -> Scope:
    """Return a request without the path below which the server is reached."""
    cut = len(base) - 1
    return {**scope, "path": scope["path"][cut:], "raw_path": scope["raw_path"][cut:]}


def build_app(services: Services, edge: EdgeSettings) -> Application:
    """Return the whole application; its `routes` show which role each operation needs."""
    return Application(services, edge)
