"""Errors in AVA's shape: one table from the codes of the core to statuses and codes of the wire."""

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from runwright.core.errors import InvalidError, QuotaError, RateLimitedError, RunwrightError, UnavailableError
from runwright.db.pool import transient
from runwright.http.answer import Answer
from runwright.http.request_id import request_id_of

DOCS_PATH: Final = "/v1/ava/docs"
_INTERNAL: Final = 500
_QUOTA_RETRY_SECONDS: Final = 5


class Meaning(msgspec.Struct, frozen=True):
    """How an error looks on the wire."""

    status: int
    code: str
    when: str


MEANINGS: Final = {
    "malformed": Meaning(400, "bad_request", "Malformed JSON, wrong content type, an unreadable header."),
    "unauthenticated": Meaning(401, "unauthorized", "No, wrong or revoked key."),
    "forbidden": Meaning(403, "forbidden", "The role or the tenant is not allowed to do this."),
    "not_found": Meaning(404, "resource_not_found", "Unknown id, or another tenant's; no such path."),
    "method": Meaning(405, "method_not_allowed", "The path exists, but not with this method."),
    "slow": Meaning(408, "request_timeout", "The request body did not arrive in time."),
    "conflict": Meaning(409, "resource_conflict", "The state of the resource forbids it."),
    "too_large": Meaning(413, "payload_too_large", "The body is over the limit."),
    "invalid": Meaning(422, "validation_error", "Well-formed but invalid; `fields` names every bad field."),
    "tenant_suspended": Meaning(403, "tenant_suspended", "The operator has suspended the tenant."),
    "quota": Meaning(
        429, "quota_exceeded", "The tenant has as much of this as it may; `quota` says of what."
    ),
    "rate_limited": Meaning(429, "rate_limited", "Too many requests; `Retry-After` says when to try again."),
    "internal": Meaning(_INTERNAL, "internal_error", "A fault of the server, which has logged it."),
    "unavailable": Meaning(503, "integration_unavailable", "The store or the executors are out of reach."),
}
_BY_STATUS: Final = {meaning.status: meaning for meaning in reversed(MEANINGS.values())}
_CLOSES: Final = frozenset({"slow", "too_large"})
"""Errors after which the rest of the request would still be on its way."""

_log = logging.getLogger(__name__)


class QuotaDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A quota that is used up."""

    name: str
    limit: int
    current: int


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What went wrong.

    `fields` (on `validation_error`) maps each bad field to its messages; `quota` is on `quota_exceeded`.
    """

    code: str
    message: str
    request_id: str
    docs_url: str
    fields: dict[str, list[str]] | None = None
    quota: QuotaDetail | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response that is not a success."""

    error: ErrorDetail


def error_answer(error: Exception, *, request_id: str, docs_url: str) -> Answer:
    """Return the response for an error; one that we do not know is logged whole and answered bare."""
    fields: dict[str, list[str]] | None = None
    headers: list[tuple[bytes, bytes]] = []
    if transient(error):
        error = UnavailableError("The store is out of reach; try again.")
    if isinstance(error, RunwrightError):
        meaning, message = MEANINGS.get(error.code, MEANINGS["internal"]), error.message
        fields = error.fields if isinstance(error, InvalidError) else None
        headers = _headers(error)
    elif isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        meaning = _BY_STATUS[error.status_code]
        message = meaning.when
        allow = (error.headers or {}).get("allow")
        headers = [(b"allow", allow.encode())] if allow else []
    else:
        meaning, message = MEANINGS["internal"], "The server failed; the fault has been logged."
    if meaning.status == _INTERNAL:
        _log.error("request failed: %s", request_id, exc_info=error)
    detail = ErrorDetail(
        code=meaning.code,
        message=message,
        request_id=request_id,
        docs_url=f"{docs_url}{DOCS_PATH}#{meaning.code}",
        fields=fields,
        quota=_quota_detail(error) if isinstance(error, QuotaError) else None,
    )
    return Answer(meaning.status, msgspec.json.encode(ErrorBody(detail)), headers=tuple(headers))


def _quota_detail(error: QuotaError) -> QuotaDetail:
    return QuotaDetail(name=error.quota, limit=error.limit, current=error.current)


def _headers(error: RunwrightError) -> list[tuple[bytes, bytes]]:
    headers, code = [], error.code
    if code in _CLOSES:
        headers.append((b"connection", b"close"))
    if code == "unauthenticated":
        headers.append((b"www-authenticate", b"Bearer"))
    if code == "unavailable":
        headers.append((b"retry-after", b"1"))
    if isinstance(error, QuotaError):
        headers.append((b"retry-after", b"%d" % _QUOTA_RETRY_SECONDS))
    if isinstance(error, RateLimitedError):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    return headers


def respond_to_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer an error that a handler, a guard or the router raised."""
    docs_url = request.app.state.edge.public_url
    answer = error_answer(error, request_id=request_id_of(request.scope), docs_url=docs_url)
    return Response(
        answer.body,
        status_code=answer.status,
        media_type="application/json",
        headers={name.decode(): value.decode() for name, value in answer.headers},
    )
