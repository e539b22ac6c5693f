"""Errors of the AGH API, `{"error": "…"}`. Internal errors are masked, secrets are redacted."""

import logging
import re
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from runwright.automations.errors import DefinitionError
from runwright.core.errors import RateLimitedError, RunwrightError
from runwright.db.pool import transient
from runwright.http.request_id import request_id_of

MEDIA_TYPE: Final = "application/json; charset=utf-8"
VALIDATION: Final = "automation validation error: "

STATUSES: Final = {
    "malformed": 400,
    "invalid": 400,
    "invalid_definition": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "slow": 408,
    "conflict": 409,
    "decided": 409,
    "too_large": 413,
    "tenant_suspended": 403,
    "quota": 409,
    "rate_limited": 429,
    "unavailable": 503,
}
WHEN: Final = {
    400: "A field or a parameter is wrong; the message names it.",
    401: "No, wrong or revoked key.",
    403: "The role, the tenant, the host or the origin is not allowed to do this.",
    404: "Unknown, or another tenant's.",
    408: "The body did not arrive in time.",
    409: "A name or an id is taken, a limit is reached, or the state of the thing forbids it.",
    413: "The body is over the limit.",
    429: "The tenant makes too many requests.",
    500: "An internal error, which the server has logged.",
    503: "Automation is disabled, or the database is unreachable.",
}
_CLOSES: Final = frozenset({408, 413})
_NO_ROUTE: Final = frozenset({404, 405})
_HIDDEN: Final = "[REDACTED]"
_SECRETS: Final = (
    re.compile(r"(?i)\b(bearer\s+)\S+"),
    re.compile(
        r"(?i)\b((?:[a-z0-9_-]*(?:token|secret|password|passwd|api[_-]?key))\s*[=:]\s*)(?!is\b|must\b)"
        r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&,;]+)"
    ),
)

_log = logging.getLogger(__name__)


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: str


class MovedError(Exception):
    """The path has a trailing slash."""


def respond_to_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer an error that a handler, a guard or the router raised."""
    if isinstance(error, MovedError):
        return _moved(request)
    if isinstance(error, HTTPException) and error.status_code in _NO_ROUTE:
        return Response(b"404 page not found", status_code=404, media_type="text/plain")
    status, message = _meaning(error)
    headers = {}
    if status in _CLOSES:
        headers["connection"] = "close"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, RateLimitedError):
        headers["retry-after"] = str(error.retry_after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        message = HTTPStatus(status).phrase
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed: %s", request_id_of(request.scope), exc_info=error)
    body = msgspec.json.encode(ErrorBody(redact(message)))
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _meaning(error: Exception) -> tuple[int, str]:
    if transient(error):
        return 503, ""
    if isinstance(error, HTTPException):
        return (error.status_code, error.detail) if error.status_code in WHEN else (400, error.detail)
    if not isinstance(error, RunwrightError):
        return 500, ""
    status = STATUSES.get(error.code, 500)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return status, "request body too large"
    if isinstance(error, DefinitionError) and not error.message.startswith("automation: "):
        return status, VALIDATION + error.message
    return status, error.message


def redact(message: str) -> str:
    """Hide what looks like a secret in a message."""
    for pattern in _SECRETS:
        message = pattern.sub(rf"\1{_HIDDEN}", message)
    return message


def _moved(request: Request[Any, Any, Any]) -> Response[bytes]:
    status = 301 if request.method in {"GET", "HEAD"} else 307
    query = request.scope["query_string"]
    target = request.scope["path"].rstrip("/") + ("?" + query.decode("latin-1") if query else "")
    return Response(b"", status_code=status, media_type="text/plain", headers={"location": target})
