"""Responses: structs as JSON, other statuses than the route's, and server-sent events.

A large list is sent in parts as the client takes them, and the rows of some lists are read only then: neither
the whole answer nor all that it is made from is in memory.
"""

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import cache
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import inspect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runwright.core.errors import UnavailableError
from runwright.core.struct_fields import inspect_fields
from runwright.core.turns import Turns, in_turns

T = TypeVar("T")

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

CONNECTION: Final = "runwright.connection"
"""The extension of the ASGI scope with the client's connection, where there is one."""

LARGE_LIST_BYTES: Final = 512 * 1024
GROUP_BYTES: Final = 8 * 1024 * 1024
"""Of rows that are read at once."""

PART_BYTES: Final = 64 * 1024
"""What is sent of a large answer in one step, or a little more."""

_MARK: Final = msgspec.Raw(b'"%b"' % secrets.token_hex(16).encode())
"""In place of a list, which no user can write."""

_ROWS: Final = (msgspec.Struct, msgspec.Raw)
_PLAIN: Final = (
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.NoneType,
    inspect.DateTimeType,
    inspect.EnumType,
    inspect.LiteralType,
    inspect.RawType,
)
_encode: Final = msgspec.json.Encoder().encode
_EXTRA_HEADERS: Final = "response_headers"


class LateRows(msgspec.Struct, frozen=True):
    """The rows of a list that are read when they are sent."""

    field: str
    """The field of the result that has the rows, as far as they are read."""
    groups: Sequence[int]
    """How many rows are read at once: the lengths of successive groups."""
    load: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    """Returns a group of rows, complete."""


def groups_of(sizes: Sequence[int]) -> Sequence[int]:
    """Return the lengths of successive groups of rows with `GROUP_BYTES` at most, but for single rows."""
    groups: list[int] = []
    left = 0
    for size in sizes:
        if size > left or not groups:
            groups.append(0)
            left = GROUP_BYTES
        groups[-1] += 1
        left -= size
    return groups


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """A handler's result with a status other than its route's, with headers, or with rows to be read."""

    result: T
    status: int
    headers: dict[str, str] | None = None
    late_rows: LateRows | None = None


class JsonResponse(Response):
    """A struct as JSON, made without the work that Starlette does for text of any kind."""

    def __init__(
        self,
        result: object,
        status: int,
        media_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = status
        self.body = _encode(result)
        self.raw_headers = [
            *(
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in (headers or {}).items()
            ),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", media_type.encode("latin-1")),
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class RowsResponse(Response):
    """A struct as JSON whose rows come in parts."""

    def __init__(
        self,
        result: msgspec.Struct,
        rows: AsyncGenerator[bytes, None],
        status: int,
        media_type: str,
        headers: dict[str, str] | None,
        *,
        is_late: bool = False,
    ) -> None:
        """`result` has `_MARK` in place of the rows. `is_late`: they are read while they are sent."""
        self.is_late = is_late
        self.status_code = status
        self.media_type = media_type
        self.init_headers(headers or {})
        self._head, _, self._tail = _encode(result).partition(bytes(_MARK))
        self._rows = rows

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        connection = scope.get("extensions", {}).get(CONNECTION)
        async with aclosing(self._rows) as rows:
            part, separator, turns = bytearray(self._head + b"["), b"", Turns()
            async for row in rows:
                await turns.between()
                part += separator
                part += row
                separator = b","
                if len(part) >= PART_BYTES:
                    await send({"type": "http.response.body", "body": bytes(part), "more_body": True})
                    part.clear()
                    if connection is not None and connection.is_lost:
                        return
        await send({"type": "http.response.body", "body": bytes(part + b"]" + self._tail)})


async def struct_response(
    result: object,
    status: int,
    media_type: str = JSON,
    headers: dict[str, str] | None = None,
    late: LateRows | None = None,
) -> Response:
    """Return the response with a result as JSON, in parts where it has a large list or late rows."""
    if late is not None and isinstance(result, msgspec.Struct):
        rows = getattr(result, late.field)
        marked = msgspec.structs.replace(result, **{late.field: _MARK})
        return RowsResponse(marked, _late_rows(rows, late), status, media_type, headers, is_late=True)
    if not _has_rows(result):
        return JsonResponse(result, status, media_type, headers)
    encoded = await encode_rows(result)
    large = _without_large_list(encoded)
    if large is None:
        return JsonResponse(encoded, status, media_type, headers)
    return RowsResponse(large[0], _each(large[1]), status, media_type, headers)


def _has_rows(result: object) -> bool:
    """Return whether a result has a list of structs, or of encoded ones."""
    if not isinstance(result, msgspec.Struct):
        return False
    for name in _inner_fields(type(result)):
        value = getattr(result, name)
        if isinstance(value, list):
            if value and isinstance(value[0], _ROWS):
                return True
        elif isinstance(value, msgspec.Struct) and _has_rows(value):
            return True
    return False


@cache
def _inner_fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a struct that may hold a list or a struct; of most responses one or two."""
    return tuple(field.name for field in inspect_fields(kind) if not _is_plain(field.type))


def _is_plain(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        return all(map(_is_plain, kind.types))
    return isinstance(kind, _PLAIN)


def is_held_whole(response: Response) -> bool:
    """Return whether a response is large, and all of it in memory until it is sent."""
    return isinstance(response, RowsResponse) and not response.is_late


async def _late_rows(rows: Sequence[Any], late: LateRows) -> AsyncGenerator[bytes, None]:
    begin = 0
    for length in late.groups:
        for row in await late.load(rows[begin : begin + length]):
            yield _encode(row)
        begin += length


async def _each(rows: Sequence[msgspec.Raw]) -> AsyncGenerator[bytes, None]:
    for row in rows:
        yield bytes(row)


def _without_large_list(result: object) -> tuple[msgspec.Struct, Sequence[msgspec.Raw]] | None:
    """Return a struct with `_MARK` in place of its large list of encoded rows, and the rows; or None."""
    if not isinstance(result, msgspec.Struct):
        return None
    for name in result.__struct_fields__:
        value = getattr(result, name)
        if isinstance(value, msgspec.Struct) and (inner := _without_large_list(value)):
            return msgspec.structs.replace(result, **{name: inner[0]}), inner[1]
        if _is_large_list(value):
            return msgspec.structs.replace(result, **{name: _MARK}), value
    return None


def _is_large_list(value: object) -> bool:
    """Return whether a value is a large list of encoded rows."""
    if not isinstance(value, list) or not value or not isinstance(value[0], msgspec.Raw):
        return False
    return sum(len(bytes(row)) for row in value) > LARGE_LIST_BYTES


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
