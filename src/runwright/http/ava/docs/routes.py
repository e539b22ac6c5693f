"""The routes of the OpenAPI document and its page. They need no key: both are the same for every tenant."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from runwright import __version__
from runwright.http.ava.dialect import AVA
from runwright.http.ava.docs.document import describe_api
from runwright.http.ava.docs.page import PAGE_POLICY, render_page
from runwright.http.request import Request
from runwright.http.response import JSON
from runwright.http.routing import Route, Routes

_HTML: Final = "text/html"


def document_routes(described: Sequence[Route]) -> Routes:
    """Return the routes of the document of these routes."""
    description = describe_api(described, __version__)
    document, page = msgspec.json.encode(description), render_page(description).encode()
    routes = Routes(AVA, "/v1/ava")

    @routes.add("GET", "/openapi.json", None)
    async def show_document(_: Request) -> Response:
        return Response(document, media_type=JSON)

    @routes.add("GET", "/docs", None)
    async def show_page(_: Request) -> Response:
        return Response(page, headers={"content-security-policy": PAGE_POLICY}, media_type=_HTML)

    return routes
