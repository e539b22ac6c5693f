"""The error mapper: each dialect has a table from the core's error codes to its statuses and bodies."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from runwright.core.errors import RateLimitedError, RunwrightError, UnavailableError
from runwright.db.errors import transient, unavailable
from runwright.http.response import JSON, JsonResponse
from runwright.telemetry.emit import Emit, error_text, ignore_event, traceback_text
from runwright.telemetry.events.server import RequestFailed

_INTERNAL: Final = 500
_ROUTING: Final = {400: "malformed", 404: "not_found", 405: "method"}


class ErrorMeaning(msgspec.Struct, frozen=True):
    """How the errors of one code appear in a dialect."""

    status: int
    when: str
    """When it occurs, for the documentation; also the message if there is no other."""
    code: str = ""
    """The dialect's own code, if it has one."""
    message: str | None = None
    """Replaces the core's message."""
    headers: Mapping[str, str] = {}


class ErrorContext(msgspec.Struct, frozen=True):
    """What a dialect may put in the body of an error."""

    error: Exception
    meaning: ErrorMeaning
    message: str
    request_id: str
    public_url: str


class ErrorTable(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect's errors: `meanings` by code of the core, and `body`, which returns the struct to send.

    `body` may also return a complete response.
    """

    meanings: Mapping[str, ErrorMeaning]
    body: Callable[[ErrorContext], object]
    media_type: str = JSON

    def respond(
        self, error: Exception, *, request_id: str, public_url: str = "", emit: Emit = ignore_event
    ) -> Response:
        """Return the response for an error; an unknown one is reported in full and masked.

        What only the database is to blame for is 503, so that clients try again.
        """
        report = self._report(error, request_id, public_url)
        meaning = report.meaning
        if meaning.status == _INTERNAL or (unavailable(error) and not transient(error)):
            emit(RequestFailed(error_text(error), traceback_text(error), request_id))
        headers = dict(meaning.headers)
        if isinstance(error, RateLimitedError):
            headers["retry-after"] = str(error.retry_after)
        if isinstance(error, HTTPException):
            headers |= error.headers or {}
        body = self.body(report)
        if isinstance(body, Response):
            return body
        return JsonResponse(body, meaning.status, self.media_type, headers)

    def _report(self, error: Exception, request_id: str, public_url: str) -> ErrorContext:
        if unavailable(error):
            error = UnavailableError("The database is unavailable; try again.")
        code = "internal"
        message: str | None = None
        if isinstance(error, RunwrightError):
            code, message = error.code, error.message
        elif isinstance(error, HTTPException):
            code = _ROUTING.get(error.status_code, code)
            message = "There is no such path." if code == "not_found" else None
        if code not in self.meanings:
            code = "internal"
        meaning = self.meanings[code]
        return ErrorContext(
            error, meaning, meaning.message or message or meaning.when, request_id, public_url
        )
