"""Errors of the AGH API, `{"error": "…"}`. Internal errors are masked, secrets are redacted."""

import re
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from runwright.automations.errors import DefinitionError
from runwright.core.errors import RunwrightError
from runwright.http.errors import ErrorContext, ErrorMeaning, ErrorTable
from runwright.http.request import Request
from runwright.http.routing import Dialect

MEDIA_TYPE: Final = "application/json; charset=utf-8"
VALIDATION: Final = "automation validation error: "

WHEN: Final = {
    400: "A field or a parameter is wrong; the message names it.",
    401: "No, wrong or revoked key.",
    403: "The role, the tenant, the host or the origin is not allowed to do this.",
    404: "Unknown, or another tenant's.",
    408: "The body did not arrive in time.",
    409: "A name or an id is taken, a limit is reached, or the state of the resource forbids it.",
    413: "The body is over the limit.",
    429: "The tenant makes too many requests.",
    500: "An internal error, which the server has logged.",
    503: "Automation is disabled, or the database is unreachable.",
}
_HEADERS: Final = {
    401: {"www-authenticate": "Bearer"},
    408: {"connection": "close"},
    413: {"connection": "close"},
    503: {"retry-after": "1"},
}
_MESSAGES: Final = {413: "request body too large", 500: "Internal Server Error", 503: "Service Unavailable"}
_STATUSES: Final = {
    "malformed": 400,
    "invalid": 400,
    "invalid_definition": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "tenant_suspended": 403,
    "not_found": 404,
    "method": 404,
    "slow": 408,
    "conflict": 409,
    "no_code": 409,
    "decided": 409,
    "quota": 409,
    "too_large": 413,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}
_MOVED: Final = ErrorMeaning(301, "The path has a trailing slash.")
_REDACTED: Final = "[REDACTED]"
_SECRETS: Final = (
    re.compile(r"(?i)\b(bearer\s+)\S+"),
    re.compile(
        r"(?i)\b((?:[a-z0-9_-]*(?:token|secret|password|passwd|api[_-]?key))\s*[=:]\s*)(?!is\b|must\b)"
        r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&,;]+)"
    ),
)


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: str


class MovedError(RunwrightError):
    """The path has a trailing slash."""

    code: ClassVar[str] = "moved"

    def __init__(self, request: Request) -> None:
        super().__init__(_MOVED.when)
        scope = request.scope
        self.status = 301 if scope["method"] in {"GET", "HEAD"} else 307
        query = request.query_string.decode("latin-1")
        self.target = scope["path"].rstrip("/") + (f"?{query}" if query else "")


def redact(message: str) -> str:
    """Return a message with everything that looks like a secret replaced."""
    for pattern in _SECRETS:
        message = pattern.sub(rf"\1{_REDACTED}", message)
    return message


def _body(context: ErrorContext) -> object:
    error, message = context.error, context.message
    if isinstance(error, MovedError):
        return Response(b"", error.status, {"location": error.target}, "text/plain")
    if isinstance(error, HTTPException) and context.meaning.status == HTTPStatus.NOT_FOUND:
        return Response(b"404 page not found", 404, media_type="text/plain")
    if isinstance(error, DefinitionError) and not message.startswith("automation: "):
        message = VALIDATION + message
    return ErrorBody(redact(message))


ERRORS: Final = ErrorTable(
    meanings={
        code: ErrorMeaning(
            status, WHEN[status], message=_MESSAGES.get(status), headers=_HEADERS.get(status, {})
        )
        for code, status in _STATUSES.items()
    }
    | {MovedError.code: _MOVED},
    body=_body,
    media_type=MEDIA_TYPE,
)

AGH: Final = Dialect(prefix="/api/", errors=ERRORS, media_type=MEDIA_TYPE)
