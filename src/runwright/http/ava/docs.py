"""Where the document and its page are served. No key is needed: they say nothing about tenants."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get

from runwright.http.ava.docs_page import PAGE_POLICY, render_page
from runwright.http.document import Json

DocsRequest = Request[Any, Any, Any]


class Docs:
    """The document and its page, made once."""

    def __init__(self, document: Json) -> None:
        self.document = msgspec.json.encode(document)
        self.page = render_page(document).encode()


@get("/openapi.json")
async def show_document(request: DocsRequest) -> Response[bytes]:
    """Show the OpenAPI document."""
    return Response(request.app.state.ava_docs.document, media_type="application/json")


@get("/docs")
async def show_page(request: DocsRequest) -> Response[bytes]:
    """Show the page for people."""
    page = request.app.state.ava_docs.page
    return Response(page, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})


def docs_routes() -> Router:
    return Router("/", route_handlers=[show_document, show_page])
