"""Responses: structs as JSON, other statuses than the route's, and server-sent events."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

import msgspec
from starlette.responses import Response

from runwright.core.errors import UnavailableError
from runwright.core.turns import in_turns

T = TypeVar("T")

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

_encode: Final = msgspec.json.Encoder().encode
_EXTRA_HEADERS: Final = "response_headers"


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """A handler's result with a status other than its route's, or with headers."""

    result: T
    status: int
    headers: dict[str, str] | None = None


def json_response(
    result: object, status: int, media_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Return the response with a struct as JSON."""
    return Response(_encode(result), status, headers, media_type)


async def encode_rows(result: object) -> object:
    """Return a struct whose rows are encoded: a large page holds the event loop for a row at a time."""
    if not isinstance(result, msgspec.Struct):
        return result
    encoded: dict[str, object] = {}
    for name in result.__struct_fields__:
        value = getattr(result, name)
        if isinstance(value, list) and len(value) > 1 and isinstance(value[0], msgspec.Struct):
            encoded[name] = await in_turns(value, lambda row: msgspec.Raw(_encode(row)))
        elif isinstance(value, msgspec.Struct):
            inner = await encode_rows(value)
            if inner is not value:
                encoded[name] = inner
    return msgspec.structs.replace(result, **encoded) if encoded else result


def add_response_headers(scope: Any, headers: Sequence[tuple[bytes, bytes]]) -> None:  # noqa: ANN401  ASGI's own type
    """Add headers to the response of a request, success or error."""
    scope["state"][_EXTRA_HEADERS] = headers


def added_headers(scope: Any) -> Sequence[tuple[bytes, bytes]]:  # noqa: ANN401  as above
    """Return the headers that were added to the response of a request."""
    headers: Sequence[tuple[bytes, bytes]] = scope["state"].get(_EXTRA_HEADERS, ())
    return headers


class OpenStreams:
    """Limits how many event streams are open in this process, in total and per tenant."""

    def __init__(self, *, limit: int, limit_per_tenant: int) -> None:
        self._limit = limit
        self._limit_per_tenant = limit_per_tenant
        self._open: Counter[str] = Counter()

    def check(self, tenant_id: str) -> None:
        """Raise UnavailableError if the tenant may not open another stream now."""
        if self._open.total() >= self._limit or self._open[tenant_id] >= self._limit_per_tenant:
            raise UnavailableError("Too many streams are open; close some, or read by pages.")

    @contextmanager
    def counted(self, tenant_id: str) -> Iterator[None]:
        """Count one stream while it is being sent."""
        self._open[tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant_id] -= 1
            self._open += Counter()  # drop tenants without streams


def server_sent_event(event: str, data: object, event_id: int | str | None = None) -> bytes:
    """Return one event with JSON data, which is a single line."""
    head = f"event: {event}\n" if event_id is None else f"id: {event_id}\nevent: {event}\n"
    return head.encode() + b"data: " + _encode(data) + b"\n\n"
