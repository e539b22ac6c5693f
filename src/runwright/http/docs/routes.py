"""Serves the documentation site at `/docs`, and its index for language models at `/llms.txt`.

A page's address ends with a slash; without it, the browser is redirected, as links are relative. Names with a
hash are cached for a year, everything else is revalidated by its ETag. No key is needed.
"""

from typing import Final

import msgspec
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from runwright.docs_site.site import DocsSite, SiteFile
from runwright.http.request import Request
from runwright.http.routing import Dialect, Routes

_NOT_BUILT: Final = (
    "The documentation is not part of this installation.\n\n"
    "In a checkout, run `make docs` and restart the server. A wheel that was built by\n"
    "`python -m build` or `scripts/release` contains it.\n"
)
_YEAR: Final = "public, max-age=31536000, immutable"
_INDEX: Final = "index.html"
_METHODS: Final = ("GET", "HEAD")
_OK: Final = 200
_NOT_MODIFIED: Final = 304
_PERMANENT: Final = 308
_NOT_FOUND: Final = 404


def docs_routes(dialect: Dialect, site: DocsSite) -> Routes:
    """Return the routes; errors of the HTTP edge are in the format of a dialect."""
    # Links to search results have a query, which the pages' scripts read.
    routes = Routes(msgspec.structs.replace(dialect, strict_query=False), "")
    pages = _Pages(site)
    for method in _METHODS:
        routes.add(method, "/docs", None)(pages.serve)
        routes.add(method, "/docs/{path:path}", None)(pages.serve)
        routes.add(method, "/llms.txt", None)(pages.serve_llms_index)
        routes.add(method, "/llms-full.txt", None)(pages.serve_llms_full)
    return routes


class _Pages:
    """Answers requests from the files of a site."""

    def __init__(self, site: DocsSite) -> None:
        self._site = site

    async def serve(self, request: Request) -> Response:
        """Return the file or page of a path."""
        name = request.params.get("path", "")
        if name in self._site.files:
            return self._file(request, name)
        page = f"{name}/{_INDEX}".lstrip("/")
        if page not in self._site.files:
            return self._missing(request)
        if not request.scope["raw_path"].endswith(b"/"):
            return RedirectResponse(f"{name.rpartition('/')[2] or 'docs'}/", _PERMANENT)
        return self._file(request, page)

    async def serve_llms_index(self, request: Request) -> Response:
        """Return the list of pages for language models."""
        return self._file(request, "llms.txt")

    async def serve_llms_full(self, request: Request) -> Response:
        """Return the text of all pages for language models."""
        return self._file(request, "llms-full.txt")

    def _file(self, request: Request, name: str, status: int = _OK) -> Response:
        file = self._site.files.get(name)
        if file is None:
            return self._missing(request)
        headers = _headers(file)
        if status == _OK and _is_current(request, file):
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        return FileResponse(self._site.path_of(name), status, headers, file.media_type)

    def _missing(self, request: Request) -> Response:
        if "404.html" in self._site.files:
            return self._file(request, "404.html", _NOT_FOUND)
        return PlainTextResponse(_NOT_BUILT, _NOT_FOUND)


def _headers(file: SiteFile) -> dict[str, str]:
    return {
        "etag": file.etag,
        "cache-control": _YEAR if file.hashed else "no-cache",
        "content-security-policy": file.policy,
    }


def _is_current(request: Request, file: SiteFile) -> bool:
    """Return whether the client has the file already."""
    given = request.headers.get(b"if-none-match", b"").decode("latin-1")
    return any(tag.strip().removeprefix("W/") in {file.etag, "*"} for tag in given.split(","))
