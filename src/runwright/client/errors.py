"""What can go wrong when a server is called."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

_SHOWN: Final = 300


class ClientError(Exception):
    """The base class of the errors of the SDK; `message` is for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SetupError(ClientError):
    """The client cannot be set up: the address, the key or a profile is missing or wrong."""


class Unreachable(ClientError):  # noqa: N818  a state of the server, not a mistake
    """The server gave no answer. `sent`: the request may have reached it, so it may have acted on it."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class ApiError(ClientError):
    """The server refused a request, or failed."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        fields: Mapping[str, Sequence[str]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        details: Any = None,  # noqa: ANN401  JSON
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status."""
        self.code = code
        """The server's code, for example `validation_error`; `http_NNN` where its answer has none."""
        self.fields = dict(fields or {})
        """The invalid fields, each with its problems."""
        self.request_id = request_id
        """What the server's log names the request by."""
        self.retry_after = retry_after
        """After how many seconds the server would take the request again, where it says so."""
        self.details = details
        """The body of the answer: decoded JSON, or text."""

    def __str__(self) -> str:
        problems = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in self.fields.items())
        about = f"{self.status} {self.code}" + (f", request {self.request_id}" if self.request_id else "")
        return f"{self.message}{f' ({problems})' if problems else ''} [{about}]"


class InvalidValueError(ClientError, ValueError):
    """A value cannot be sent: JSON has no NaN, no infinity, and no half characters."""


class JobUnsuccessfulError(ClientError):
    """The job of which the output was asked for failed, was cancelled, or has not ended; `job` has more."""

    def __init__(self, message: str, job: Any) -> None:  # noqa: ANN401  a JobInfo, which imports this module
        super().__init__(message)
        self.job = job


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer of any of the server's APIs reports."""
    details = _decoded(body)
    code, message, fields = _report(details)
    return ApiError(
        message or _unexplained(status, headers, details),
        status=status,
        code=code or f"http_{status}",
        fields=fields,
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers),
        details=details,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`; None where there is none, or a date."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _decoded(body: bytes) -> Any:  # noqa: ANN401  JSON
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:_SHOWN].decode(errors="replace")


def _report(details: Any) -> tuple[str, str, dict[str, list[str]]]:  # noqa: ANN401  JSON
    """Return code, message and fields of `{"error": {…}}`, `{"error": "…"}`, `{"detail": "…"}` or fields."""
    if not isinstance(details, dict):
        return "", "", {}
    error = details.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or ""), str(error.get("message") or ""), _fields(error.get("fields"))
    if isinstance(error, str):
        return "", error, {}
    if isinstance(details.get("detail"), str):
        return "", details["detail"], {}
    fields = _fields(details)
    return ("validation_error", "The request is invalid.", fields) if fields else ("", "", {})


def _fields(given: Any) -> dict[str, list[str]]:  # noqa: ANN401  JSON
    if not isinstance(given, dict):
        return {}
    return {
        str(name): [str(one) for one in texts] for name, texts in given.items() if isinstance(texts, list)
    }


def _unexplained(status: int, headers: Mapping[str, str], details: Any) -> str:  # noqa: ANN401  JSON
    location = headers.get("location")
    if 300 <= status < 400 and location:  # noqa: PLR2004  redirects
        return f"The address redirects to {location[:_SHOWN]}; give that address instead."
    kind = headers.get("content-type", "no type").partition(";")[0]
    shown = details.strip() if isinstance(details, str) and not kind.endswith("html") else ""
    return f"The answer was {status} ({kind}){f': {shown}' if shown else ''}."
