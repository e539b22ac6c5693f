"""The application of all dialects, and the server that runs it inside our event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from functools import partial
from typing import Any, Final, cast

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State

from runwright import __version__
from runwright.http.agh import errors as agh_errors
from runwright.http.agh.document import describe_api as describe_agh
from runwright.http.agh.routes import AGH_ROUTES
from runwright.http.ava import errors as ava_errors
from runwright.http.ava.analytics import AnalyticsRoutes
from runwright.http.ava.audit import AuditRoutes
from runwright.http.ava.docs import Docs, docs_routes
from runwright.http.ava.document import describe_api
from runwright.http.ava.jobs import JobRoutes
from runwright.http.ava.keys import KeyRoutes
from runwright.http.ava.queues import QueueRoutes
from runwright.http.ava.runtimes import RuntimeRoutes
from runwright.http.ava.schedules import ScheduleRoutes
from runwright.http.ava.secrets import SecretRoutes
from runwright.http.ava.submit import PATH as SUBMIT_PATH
from runwright.http.ava.submit import SubmitRoute
from runwright.http.ava.tenants import TenantRoutes
from runwright.http.ava.versions import VersionRoutes
from runwright.http.ava.webhooks import WebhookRoutes
from runwright.http.ava.workers import WorkerRoutes
from runwright.http.avala import errors as avala_errors
from runwright.http.avala.agents import AgentRoutes
from runwright.http.avala.document import PREFIX as AVALA
from runwright.http.avala.document import describe_api as describe_avala
from runwright.http.avala.document import show_avala_document
from runwright.http.avala.executions import ExecutionRoutes
from runwright.http.avala.organizations import OrganizationRoutes
from runwright.http.avala.webhooks import DeliveryRoutes
from runwright.http.avala.webhooks import WebhookRoutes as AvalaWebhookRoutes
from runwright.http.connection import LimitedProtocol
from runwright.http.front import Front, RequestMetrics
from runwright.http.probes import probe_routes
from runwright.http.services import EdgeSettings, Services
from runwright.http.streams import OpenStreams
from runwright.http.uploads import Uploads

_BACKLOG: Final = 2048


def build_app(services: Services, edge: EdgeSettings) -> Litestar:
    """Return the whole application; its `routes` say who may call what."""
    submit = SubmitRoute(services, edge)
    ava = Router(
        "/v1/ava",
        route_handlers=[
            WorkerRoutes,
            SecretRoutes,
            VersionRoutes,
            JobRoutes,
            ScheduleRoutes,
            QueueRoutes,
            RuntimeRoutes,
            AnalyticsRoutes,
            docs_routes(),
        ],
    )
    streams = OpenStreams(limit=edge.streams, limit_per_tenant=edge.streams_per_tenant)
    avala = Router(
        AVALA,
        route_handlers=[
            AgentRoutes,
            ExecutionRoutes,
            OrganizationRoutes,
            AvalaWebhookRoutes,
            DeliveryRoutes,
            show_avala_document,
        ],
    )
    app = Litestar(
        route_handlers=[
            ava,
            Router("/v1", route_handlers=[WebhookRoutes, TenantRoutes, KeyRoutes, AuditRoutes]),
            avala,
            *AGH_ROUTES,
            *probe_routes(),
        ],
        exception_handlers={Exception: _respond_to_error},
        state=State(
            {
                "services": services,
                "edge": edge,
                "submit": submit,
                "streams": streams,
                "uploads": Uploads(edge),
            }
        ),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    app.state.ava_docs = Docs(describe_api(app.routes, __version__))
    app.state.agh_document = msgspec.json.encode(describe_agh(app.routes, __version__))
    app.state.avala_document = msgspec.json.encode(describe_avala(app.routes, __version__))
    # The front stands before the router, so that it also sees what has no route.
    app.asgi_handler = Front(
        app.asgi_handler,
        fast={("POST", SUBMIT_PATH): submit},
        allowed={route.path_format: route.methods for route in app.routes},
        metrics=RequestMetrics(services.metrics),
        clock=services.clock,
    )
    return app


def _respond_to_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer in the words of the dialect that the path belongs to, whether there is such a path or not."""
    if f"{request.scope['path']}/".startswith(f"{AVALA}/"):
        return avala_errors.respond_to_error(request, error)
    if request.scope["path"].startswith("/api/"):
        return agh_errors.respond_to_error(request, error)
    return ava_errors.respond_to_error(request, error)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that leaves the process's signals alone, and lets nobody wait for an end in a shutdown."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # first, so that who is answered now hears that the connection ends
        self._services.jobs.end_waits()
        self._services.automations.runs.end_waits()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Listens and serves until stopped. Safe to stop unstarted and twice."""

    def __init__(self, app: Litestar, *, host: str, port: int, edge: EdgeSettings) -> None:
        self._host = host
        self._port = port
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                loop="none",
                http=cast("type[asyncio.Protocol]", partial(LimitedProtocol, edge)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=edge.keep_alive_seconds,
                timeout_graceful_shutdown=edge.stop_seconds,
            ),
            app.state.services,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the address as a URL; OSError where the port is taken."""
        listener = await _listen(self._host, self._port)
        host, port = listener.getsockname()[:2]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Take no more requests, finish those under way within their time, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


async def _listen(host: str, port: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003  as the socket module has it
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
