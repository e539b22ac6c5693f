"""Errors in the shape of the Avala API: `{"detail": …}`, or all bad fields at once, flat.

What the clients look at is the status, the text of `detail`, and `Retry-After` in whole seconds.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from runwright.core.errors import InvalidError, RateLimitedError, RunwrightError, UnavailableError
from runwright.db.pool import transient
from runwright.http.answer import Answer
from runwright.http.request_id import request_id_of

_INTERNAL: Final = 500
_INVALID: Final = 400


class Detail(msgspec.Struct, frozen=True):
    """The body of an answer that is no success; a 400 may name the bad fields instead."""

    detail: str


class Meaning(msgspec.Struct, frozen=True):
    """How an error looks on the wire. `text` stands in place of what the core says."""

    status: int
    when: str
    text: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


_CLOSE: Final = ((b"connection", b"close"),)
"""The rest of the request would still be on its way."""

MEANINGS: Final = {
    "malformed": Meaning(400, "Bad fields, each with its messages; or JSON that cannot be read."),
    "unauthenticated": Meaning(401, "No, wrong or revoked key.", "Invalid API key."),
    "forbidden": Meaning(
        403, "The key may not do this.", "You do not have permission to perform this action."
    ),
    "tenant_suspended": Meaning(403, "The operator has suspended the organization."),
    "not_found": Meaning(404, "Unknown, or another organization's.", "Not found."),
    "invalid_cursor": Meaning(404, "Unknown, or another organization's.", "Invalid cursor"),
    "method": Meaning(405, "The path exists, but not with this method.", "Method not allowed."),
    "slow": Meaning(408, "The body did not arrive in time.", headers=_CLOSE),
    "conflict": Meaning(409, "The state of the thing forbids it."),
    "decided": Meaning(409, "The state of the thing forbids it."),
    "too_large": Meaning(413, "The body is over the limit.", headers=_CLOSE),
    "quota": Meaning(
        429, "The organization has as much of this as it may.", headers=((b"retry-after", b"5"),)
    ),
    "rate_limited": Meaning(429, "Too many requests; `Retry-After` says in how many seconds to try again."),
    "internal": Meaning(_INTERNAL, "A fault of the server, which has logged it.", "Internal server error."),
    "unavailable": Meaning(503, "The store is out of reach.", headers=((b"retry-after", b"1"),)),
}
_BY_STATUS: Final = {meaning.status: meaning for meaning in reversed(MEANINGS.values())}
_FIELDS: Final = {"body": "non_field_errors"}
_WORDS: Final = {"Is required.": "This field is required."}

_log = logging.getLogger(__name__)


def error_answer(error: Exception, *, request_id: str) -> Answer:
    """Return the response for an error; one that we do not know is logged whole and answered bare."""
    if transient(error):
        error = UnavailableError("The store is out of reach; try again.")
    if isinstance(error, InvalidError):
        return Answer(_INVALID, msgspec.json.encode(_flat(error.fields)))
    said: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, RunwrightError):
        meaning, said = MEANINGS.get(error.code, MEANINGS["internal"]), error.message
        if isinstance(error, RateLimitedError):
            said = f"Request was throttled. Expected available in {error.retry_after} seconds."
            headers = ((b"retry-after", b"%d" % error.retry_after),)
    elif isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        meaning = _BY_STATUS[error.status_code]
        said = f"{HTTPStatus(error.status_code).phrase}."
        allow = (error.headers or {}).get("allow")
        headers = ((b"allow", allow.encode()),) if allow else ()
    else:
        meaning = MEANINGS["internal"]
    if meaning.status == _INTERNAL:
        _log.error("request failed: %s", request_id, exc_info=error)
    detail = Detail(meaning.text or said or meaning.when)
    return Answer(meaning.status, msgspec.json.encode(detail), headers=(*meaning.headers, *headers))


def _flat(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the messages by top-level field, in the API's words."""
    flat: dict[str, list[str]] = {}
    for name, messages in fields.items():
        field = name.partition(".")[0]
        told = flat.setdefault(_FIELDS.get(field, field), [])
        told += [word for message in messages if (word := _WORDS.get(message, message)) not in told]
    return flat


def respond_to_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer an error that a handler, a guard or the router raised."""
    answer = error_answer(error, request_id=request_id_of(request.scope))
    return Response(
        answer.body,
        status_code=answer.status,
        media_type="application/json",
        headers={name.decode(): value.decode() for name, value in answer.headers},
    )
