"""The route of the OpenAPI document. It needs no key: it is the same for every organization."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from runwright import __version__
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.docs.document import describe_api
from runwright.http.request import Request
from runwright.http.response import JSON
from runwright.http.routing import Route, Routes


def document_routes(described: Sequence[Route]) -> Routes:
    """Return the route of the document of these routes."""
    document = msgspec.json.encode(describe_api(described, __version__))
    routes = Routes(AVALA, PREFIX)

    @routes.add("GET", "/openapi.json", None)
    async def show_document(_: Request) -> Response:
        return Response(document, media_type=JSON)

    return routes
