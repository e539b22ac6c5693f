"""The AVA dialect: the format of its errors, and what all of its routes have in common."""

from typing import Final

import msgspec

from runwright.core.errors import InvalidError, QuotaError
from runwright.http.errors import ErrorContext, ErrorMeaning, ErrorTable
from runwright.http.routing import Dialect

DOCS_PATH: Final = "/v1/ava/docs"

_CLOSE: Final = {"connection": "close"}
"""The rest of the request would still be arriving."""

MEANINGS: Final = {
    "malformed": ErrorMeaning(
        400, "Malformed JSON, wrong content type, an unreadable header.", "bad_request"
    ),
    "unauthenticated": ErrorMeaning(
        401, "No, wrong or revoked key.", "unauthorized", headers={"www-authenticate": "Bearer"}
    ),
    "forbidden": ErrorMeaning(403, "The role or the tenant is not allowed to do this.", "forbidden"),
    "not_found": ErrorMeaning(404, "Unknown id, or another tenant's; no such path.", "resource_not_found"),
    "method": ErrorMeaning(405, "The path exists, but not with this method.", "method_not_allowed"),
    "slow": ErrorMeaning(408, "The request body did not arrive in time.", "request_timeout", headers=_CLOSE),
    "conflict": ErrorMeaning(409, "The state of the resource forbids it.", "resource_conflict"),
    "no_code": ErrorMeaning(409, "The worker has no code yet.", "no_code"),
    "too_large": ErrorMeaning(413, "The body is over the limit.", "payload_too_large", headers=_CLOSE),
    "invalid": ErrorMeaning(
        422, "Well-formed but invalid; `fields` names every bad field.", "validation_error"
    ),
    "tenant_suspended": ErrorMeaning(403, "The operator has suspended the tenant.", "tenant_suspended"),
    "quota": ErrorMeaning(
        429,
        "The tenant has reached a quota; `quota` names it.",
        "quota_exceeded",
        headers={"retry-after": "5"},
    ),
    "rate_limited": ErrorMeaning(
        429, "Too many requests; `Retry-After` says when to try again.", "rate_limited"
    ),
    "internal": ErrorMeaning(500, "A fault of the server, which has logged it.", "internal_error"),
    "unavailable": ErrorMeaning(
        503,
        "The database or the executors are unavailable.",
        "integration_unavailable",
        headers={"retry-after": "1"},
    ),
}
_MASKED: Final = "The server failed; the fault has been logged."


class QuotaDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A quota that is exhausted."""

    name: str
    limit: int
    current: int


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An error.

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


def _error_body(report: ErrorContext) -> ErrorBody:
    error, code = report.error, report.meaning.code
    quota = None
    if isinstance(error, QuotaError):
        quota = QuotaDetail(name=error.quota, limit=error.limit, current=error.current)
    return ErrorBody(
        ErrorDetail(
            code=code,
            message=_MASKED if report.meaning is MEANINGS["internal"] else report.message,
            request_id=report.request_id,
            docs_url=f"{report.public_url}{DOCS_PATH}#{code}",
            fields=error.fields if isinstance(error, InvalidError) else None,
            quota=quota,
        )
    )


ERRORS: Final = ErrorTable(meanings=MEANINGS, body=_error_body)

AVA: Final = Dialect(prefix="/", errors=ERRORS, strict_query=True)
