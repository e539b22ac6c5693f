"""The application of all dialects."""

from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import State

from runwright import __version__
from runwright.http.agh import errors as agh_errors
from runwright.http.agh.document import describe_api as describe_agh
from runwright.http.agh.routes import AGH_ROUTES
from runwright.http.ava import errors as ava_errors
from runwright.http.ava.docs import Docs
from runwright.http.ava.document import describe_api as describe_ava
from runwright.http.ava.routes import ava_routes
from runwright.http.ava.submit import PATH as SUBMIT_PATH
from runwright.http.ava.submit import SubmitRoute
from runwright.http.avala import errors as avala_errors
from runwright.http.avala.document import PREFIX as AVALA
from runwright.http.avala.document import describe_api as describe_avala
from runwright.http.avala.routes import avala_routes
from runwright.http.front import Front, RequestMetrics
from runwright.http.probes import probe_routes
from runwright.http.services import EdgeSettings, Services
from runwright.http.streams import OpenStreams
from runwright.http.uploads import Uploads


def build_app(services: Services, edge: EdgeSettings) -> Litestar:
    """Return the whole application; its `routes` say who may call what."""
    submit = SubmitRoute(services, edge)
    streams = OpenStreams(limit=edge.streams, limit_per_tenant=edge.streams_per_tenant)
    state = {
        "services": services,
        "edge": edge,
        "submit": submit,
        "streams": streams,
        "uploads": Uploads(edge),
    }
    app = Litestar(
        route_handlers=[*ava_routes(), avala_routes(), *AGH_ROUTES, *probe_routes()],
        exception_handlers={Exception: _respond_to_error},
        state=State(state),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    _add_documents(app)
    # The front stands before the router, so that it also sees what has no route.
    app.asgi_handler = Front(
        app.asgi_handler,
        fast={("POST", SUBMIT_PATH): submit},
        allowed={route.path_format: route.methods for route in app.routes},
        metrics=RequestMetrics(services.metrics),
        clock=services.clock,
    )
    return app


def _add_documents(app: Litestar) -> None:
    """Describe each dialect from the routes that are really there."""
    app.state.ava_docs = Docs(describe_ava(app.routes, __version__))
    app.state.agh_document = msgspec.json.encode(describe_agh(app.routes, __version__))
    app.state.avala_document = msgspec.json.encode(describe_avala(app.routes, __version__))


def _respond_to_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer in the words of the dialect that the path belongs to, whether there is such a path or not."""
    if f"{request.scope['path']}/".startswith(f"{AVALA}/"):
        return avala_errors.respond_to_error(request, error)
    if request.scope["path"].startswith("/api/"):
        return agh_errors.respond_to_error(request, error)
    return ava_errors.respond_to_error(request, error)
