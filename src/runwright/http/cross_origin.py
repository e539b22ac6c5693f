"""Cross-origin requests (CORS): which pages of other origins may call the APIs from a browser.

Only those of the setting `cors_origins`, compared as a whole; none by default. They use keys or tokens:
credentials of the browser, such as the cookie of a session, are never allowed with them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp

Headers = Sequence[tuple[bytes, bytes]]

_ALLOW_ORIGIN: Final = b"access-control-allow-origin"
_REQUESTED_METHOD: Final = b"access-control-request-method"
_NO_CONTENT: Final = 204
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": (
        "authorization, content-type, idempotency-key, last-event-id, x-api-key, x-avala-api-key,"
        " x-internal-secret, x-platform-role, x-request-id, x-tenant-id, x-user-id"
    ),
    "access-control-max-age": "600",
}
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
)
_VARY: Final = (b"vary", b"origin")


class CrossOrigin:
    """The origins that are allowed."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def response_headers(self, request_headers: Mapping[bytes, bytes]) -> Headers:
        """Return the headers that let a browser show the response to the page that asked."""
        if not self._origins:
            return ()
        origin = request_headers.get(b"origin")
        if origin is None or origin not in self._origins:
            return (_VARY,)
        return ((_ALLOW_ORIGIN, origin), _EXPOSED, _VARY)

    def preflight(self, method: str, request_headers: Mapping[bytes, bytes]) -> ASGIApp | None:
        """Return the response to the question of a browser whether it may ask; None for other requests."""
        if method != "OPTIONS" or _REQUESTED_METHOD not in request_headers:
            return None
        if request_headers.get(b"origin") not in self._origins:
            return None
        return Response(status_code=_NO_CONTENT, headers=_PREFLIGHT)
