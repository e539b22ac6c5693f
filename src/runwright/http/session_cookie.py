"""The cookie of a browser's session, and what a request with it must show.

A browser sends cookies with requests that other pages cause. `SameSite=Strict` keeps out other sites; pages
on other ports of this host are the same site, so the origin is checked too, and writes need a token that
only our own page can know.
"""

import hmac
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from runwright.core.errors import ForbiddenError
from runwright.http.request import Request
from runwright.tenants.model import KeySession

CSRF_HEADER: Final = "x-csrf-token"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})


def read_cookie(request: Request) -> str | None:
    """Return the text of the session in the request's cookie; None without one."""
    name = _name(request)
    for part in request.headers.get(b"cookie", b"").decode("latin-1").split(";"):
        found, _, value = part.strip().partition("=")
        if found == name:
            return value
    return None


def session_cookie(request: Request, session: KeySession, text: str, now: datetime) -> str:
    """Return the header that gives a browser its session."""
    seconds = max(int((session.expires_at - now).total_seconds()), 0)
    return f"{_name(request)}={text}; Max-Age={seconds}; {_attributes(request)}"


def expired_cookie(request: Request) -> str:
    """Return the header that takes a browser's session away."""
    return f"{_name(request)}=; Max-Age=0; {_attributes(request)}"


def check_own_page(request: Request) -> None:
    """Raise ForbiddenError for a request that a page of another origin has caused."""
    origin, site = request.headers.get(b"origin"), request.headers.get(b"sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        raise ForbiddenError("This request comes from a page of another origin.")
    if origin is not None and not _is_own(request, origin.decode("latin-1")):
        raise ForbiddenError(
            f"The origin of this request is not the server's own ({own_origin(request)})."
            " Behind a proxy, set public_url."
        )


def check_csrf(request: Request, text: str) -> None:
    """Raise ForbiddenError for a write with a cookie and without the session's CSRF token."""
    if request.scope["method"] in _READING:
        return
    given = request.headers.get(CSRF_HEADER.encode(), b"")
    if not hmac.compare_digest(given, request.services.sessions.csrf_token(text).encode()):
        raise ForbiddenError(f"With a session, writes need its CSRF token in the header {CSRF_HEADER}.")


def _name(request: Request) -> str:
    return f"rw_{request.services.sessions.installation}"


def _attributes(request: Request) -> str:
    secure = "; Secure" if _is_https(request) else ""
    return f"Path=/; HttpOnly; SameSite=Strict{secure}"


def _is_https(request: Request) -> bool:
    outside = request.edge.settings.public_url or "http:"
    return outside.startswith("https:") or request.headers.get(b"x-forwarded-proto") == b"https"


def own_origin(request: Request) -> str:
    """Return the origin at which the caller reaches this server."""
    public_url = request.edge.settings.public_url
    if public_url:
        parts = urlsplit(public_url)
        return f"{parts.scheme}://{parts.netloc}"
    scheme = "https" if _is_https(request) else "http"
    return f"{scheme}://{request.headers.get(b'host', b'').decode('latin-1')}"


def own_address(request: Request) -> str:
    """Return the address at which the caller reaches the dashboard, without a slash at its end."""
    edge = request.edge.settings
    return edge.public_url or own_origin(request) + edge.base_path


def _is_own(request: Request, origin: str) -> bool:
    return origin.lower() == own_origin(request).lower()
