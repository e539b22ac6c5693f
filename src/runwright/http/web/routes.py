"""Serves the dashboard: its index at the paths of its pages, and the files that the index names.

Files whose names have a hash are cached for ever, the index never; a path that is neither a page nor a file
is a 404, not the index. No key is needed: what the pages show, they ask the API for.
"""

from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from runwright.http.request import Request
from runwright.http.routing import Dialect, Handler, Routes
from runwright.web.files import INDEX, Dashboard, Encoding, WebFile

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
"""The Content-Security-Policy of the pages; by `base-uri` the index can name the path it is served below."""

_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
_PAGE_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-robots-tag": "noindex, nofollow",
}
_YEAR: Final = "public, max-age=31536000, immutable"
_BASE: Final = b'<base href="/" />'
_HEAD_END: Final = b"</head>"
_ASKED_FIRST: Final = b"".join(
    b'  <link rel="preload" as="fetch" crossorigin href="./%s" />\n  ' % path
    for path in (b"v1/session", b"v1/ava/whoami")
)
"""What the scripts ask for first: browsers ask for it while they load these."""
_OPEN_PAGES: Final = frozenset({"answer", "shared", "sign-in"})
"""Pages that need no session, so that they ask for none."""
_METHODS: Final = ("GET", "HEAD")
_NOT_MODIFIED: Final = 304
_UNAVAILABLE: Final = 503
_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Runwright</title>
<h1>The dashboard is not part of this installation</h1>
<p>In a checkout, <code>make setup</code> builds it and says why if it cannot; then restart the server.
A wheel that was built by <code>python -m build</code> or <code>scripts/release</code> contains it.</p>
<p>The server itself is complete: see the <a href="docs/">documentation</a>, the
<a href="v1/ava/docs">API</a> and the command line.</p>
</html>
"""


def web_routes(dialect: Dialect, dashboard: Dashboard, base_path: str) -> Routes:
    """Return the routes; errors of the HTTP edge are in the format of a dialect."""
    # The query of a page is for its scripts.
    routes = Routes(msgspec.structs.replace(dialect, strict_query=False), "")
    pages = _Pages(dashboard, base_path)
    _add(routes, "/", pages.serve_index)
    for name in sorted(dashboard.pages):
        serve = pages.serve_open_index if name in _OPEN_PAGES else pages.serve_index
        _add(routes, f"/{name}", serve)
        _add(routes, f"/{name}/{{rest:path}}", serve)
    for name in sorted(dashboard.files):
        if name != INDEX:
            _add(routes, f"/{name}", pages.serve_file)
    return routes


def _add(routes: Routes, path: str, handler: Handler) -> None:
    for method in _METHODS:
        routes.add(method, path, None)(handler)


class _Pages:
    """Answers requests from the files of a dashboard."""

    def __init__(self, dashboard: Dashboard, base_path: str) -> None:
        self._dashboard = dashboard
        self._open_index = (
            dashboard.read(INDEX).replace(_BASE, f'<base href="{base_path}/" />'.encode())
            if dashboard.is_built
            else None
        )
        self._index = self._open_index and self._open_index.replace(_HEAD_END, _ASKED_FIRST + _HEAD_END)

    async def serve_index(self, _: Request) -> Response:
        """Return the index, which shows the page of the path, for callers with a session."""
        return _page(self._index)

    async def serve_open_index(self, _: Request) -> Response:
        """Return the index for a page that needs no session."""
        return _page(self._open_index)

    async def serve_file(self, request: Request) -> Response:
        """Return a file, in an encoding that the client accepts."""
        name = request.scope["path"].removeprefix("/")
        file = self._dashboard.files[name]
        media_type = _MEDIA_TYPES.get(name.rpartition(".")[2])
        if media_type is None:
            raise HTTPException(404)
        headers = {"etag": file.etag, "cache-control": _YEAR if file.hashed else "no-cache"}
        if _is_current(request, file):
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        encoding = _choose_encoding(request, file)
        if file.encodings:
            headers["vary"] = "accept-encoding"
        if encoding is not None:
            headers["content-encoding"] = encoding
        content = self._dashboard.read(name, encoding)
        return Response(content, headers=headers, media_type=media_type)


def _page(index: bytes | None) -> Response:
    if index is None:
        return HTMLResponse(_NOT_BUILT, _UNAVAILABLE)
    return Response(index, headers=_PAGE_HEADERS, media_type=_MEDIA_TYPES["html"])


def _choose_encoding(request: Request, file: WebFile) -> Encoding | None:
    given = request.headers.get(b"accept-encoding", b"").decode("latin-1").lower()
    accepted = {part.partition(";")[0].strip() for part in given.split(",") if not _is_refused(part)}
    return next((encoding for encoding in file.encodings if encoding in accepted), None)


def _is_refused(part: str) -> bool:
    return part.replace(" ", "").partition(";q=")[2] in {"0", "0.0", "0.00", "0.000"}


def _is_current(request: Request, file: WebFile) -> bool:
    """Return whether the client has the file already."""
    given = request.headers.get(b"if-none-match", b"").decode("latin-1")
    return any(tag.strip().removeprefix("W/") in {file.etag, "*"} for tag in given.split(","))
