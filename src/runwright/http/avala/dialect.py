"""The Avala dialect: the format of its errors, and what all of its routes have in common.

An error is `{"detail": …}`, or all invalid fields at once: `{"field": ["message", …]}`. Clients depend on
the status, the text of `detail`, and `Retry-After` in whole seconds.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from runwright.core.errors import InvalidError, RateLimitedError
from runwright.http.errors import ErrorContext, ErrorMeaning, ErrorTable
from runwright.http.routing import Dialect
from runwright.http.status_phrases import status_phrase

PREFIX: Final = "/api/v1"

_CLOSE: Final = {"connection": "close"}
"""The rest of the request would still be arriving."""

_INVALID: Final = "Invalid fields with their messages, or malformed JSON."
MEANINGS: Final = {
    "invalid": ErrorMeaning(400, _INVALID),
    "malformed": ErrorMeaning(400, _INVALID),
    "unauthenticated": ErrorMeaning(401, "The key is missing, wrong or revoked.", message="Invalid API key."),
    "forbidden": ErrorMeaning(
        403,
        "The role of the key does not suffice.",
        message="You do not have permission to perform this action.",
    ),
    "tenant_suspended": ErrorMeaning(403, "The operator has suspended the organization."),
    "not_found": ErrorMeaning(404, "Unknown, or another organization's.", message="Not found."),
    "invalid_cursor": ErrorMeaning(404, "Unknown, or another organization's.", message="Invalid cursor"),
    "method": ErrorMeaning(405, "The path exists, but not with this method.", message="Method not allowed."),
    "slow": ErrorMeaning(408, "The body did not arrive in time.", headers=_CLOSE),
    "conflict": ErrorMeaning(409, "The current state forbids it."),
    "no_code": ErrorMeaning(409, "The current state forbids it."),
    "decided": ErrorMeaning(409, "The current state forbids it."),
    "too_large": ErrorMeaning(413, "The body is over the limit.", headers=_CLOSE),
    "quota": ErrorMeaning(429, "The organization has reached its limit.", headers={"retry-after": "5"}),
    "rate_limited": ErrorMeaning(429, "Too many requests; `Retry-After` is the number of seconds to wait."),
    "internal": ErrorMeaning(
        500, "A fault of the server, which has logged it.", message="Internal server error."
    ),
    "unavailable": ErrorMeaning(503, "The database is unavailable.", headers={"retry-after": "1"}),
}
_FIELDS: Final = {"body": "non_field_errors"}
_MESSAGES: Final = {"Is required.": "This field is required."}


class Detail(msgspec.Struct, frozen=True):
    """The body of an error; a 400 may list the invalid fields instead."""

    detail: str


def _error_body(context: ErrorContext) -> object:
    error = context.error
    if isinstance(error, InvalidError):
        return _by_top_level_field(error.fields)
    if isinstance(error, RateLimitedError):
        return Detail(f"Request was throttled. Expected available in {error.retry_after} seconds.")
    if isinstance(error, HTTPException) and context.meaning.message is None:
        return Detail(f"{status_phrase(error.status_code)}.")
    return Detail(context.message)


def _by_top_level_field(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the messages by top-level field, in the API's words."""
    flat: dict[str, list[str]] = {}
    for path, messages in fields.items():
        name = path.partition(".")[0]
        shown = flat.setdefault(_FIELDS.get(name, name), [])
        shown += [text for message in messages if (text := _MESSAGES.get(message, message)) not in shown]
    return flat


ERRORS: Final = ErrorTable(meanings=MEANINGS, body=_error_body)
AVALA: Final = Dialect(prefix=f"{PREFIX}/", errors=ERRORS)
