"""Read bodies and query strings, and cut lists into pages."""

import base64
import binascii
import contextlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from runwright.automations.errors import DefinitionError
from runwright.automations.rules import quoted
from runwright.core.struct_fields import inspect_fields, plain_type
from runwright.http.agh.loose_json import decode_loosely
from runwright.http.request import Request
from runwright.http.validation import Validator, refuse_many_containers

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

MOST_ROWS: Final = 1_000
DEFAULT_WAIT_SECONDS: Final = 30
LONGEST_WAIT_SECONDS: Final = 60

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_MOST_PARAMETERS: Final = 50


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: Annotated[int, Meta(ge=0, description="Most rows; 0 or none: all, up to 1,000.")] = 0
    cursor: Annotated[str, Meta(description="`next_cursor` of the page before.")] | UnsetType = UNSET

    @property
    def rows(self) -> int:
        """The number of rows of a page."""
        return min(self.limit, MOST_ROWS) or MOST_ROWS


class WaitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for the end of the run."""

    wait: (
        Annotated[
            float,
            Meta(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds; by default 30, for a delivery 0."),
        ]
        | UnsetType
    ) = UNSET


def parse_query(query_string: bytes, kind: type[Q]) -> Q:
    """Return the struct of a query string; of a repeated name the first counts, empty values are ignored."""
    given = _parameters(query_string)
    values: dict[str, Any] = {
        field.name: _parse(given[field.encode_name], field)
        for field in inspect_fields(kind)
        if field.encode_name in given
    }
    return kind(**values)


def _parameters(query_string: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise DefinitionError("the query has too many parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if "\0" in value:
            raise DefinitionError(f"{name[:100]} must not hold the character NUL")
        found.setdefault(name, value.strip())
    return {name: value for name, value in found.items() if value}


def _parse(text: str, field: inspect.Field) -> str | int | float:
    kind, _ = plain_type(field.type)
    if isinstance(kind, inspect.IntType):
        return _parse_integer(text, field.name)
    if isinstance(kind, inspect.FloatType):
        return _parse_seconds(text, field.name)
    return text


def _parse_integer(text: str, name: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise DefinitionError(f"invalid integer {quoted(text)}: invalid syntax")
    if int(text) < 0:
        raise DefinitionError(f"{name} must not be negative: {text}")
    return int(text)


def _parse_seconds(text: str, name: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise DefinitionError(f"{name} must be between 0 and {LONGEST_WAIT_SECONDS} seconds: {quoted(text)}")
    return seconds


def page_of(rows: list[T], limit: int, key: Callable[[T], tuple[object, str]]) -> tuple[list[T], str]:
    """Return the rows of a page and its `next_cursor`; `rows` has one more than `limit` if there are more."""
    if len(rows) <= limit:
        return rows, ""
    page = rows[:limit]
    return page, base64.urlsafe_b64encode(msgspec.json.encode(key(page[-1]))).decode().rstrip("=")


def name_cursor(query: PageQuery) -> tuple[str, str] | None:
    """Return the (name, id) after which the page begins."""
    return _parse_cursor(query, tuple[str, str])


def time_cursor(query: PageQuery) -> tuple[datetime, str] | None:
    """Return the (time, id) before which the page begins."""
    return _parse_cursor(query, tuple[datetime, str])


def _parse_cursor(query: PageQuery, kind: type[T]) -> T | None:
    text = query.cursor
    if text is UNSET:
        return None
    found: T | None = None
    with contextlib.suppress(binascii.Error, ValueError, msgspec.DecodeError):
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = None if b"\\u0000" in raw else msgspec.json.decode(raw, type=kind)
    if found is None:
        raise DefinitionError("cursor is not one that a list of this kind gave")
    return found


S = TypeVar("S", bound=msgspec.Struct)

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024


class LooseValidator(Validator[S]):
    """Decodes bodies and queries with the tolerance of Go; `what` names a body in error messages."""

    def __init__(self, struct: type[S], what: str) -> None:
        super().__init__(struct)
        self._what = what

    def from_json(self, body: bytes | msgspec.Raw) -> S:
        """Return the struct in a JSON body."""
        with contextlib.suppress(msgspec.DecodeError, RecursionError):  # said in AGH's words below
            refuse_many_containers(bytes(body))
        return decode_loosely(bytes(body), self.struct, self._what)

    def from_query(self, query: bytes) -> S:
        """Return the struct in a query string."""
        return parse_query(query, self.struct)


@cache
def _validator(kind: type[msgspec.Struct], what: str = "") -> LooseValidator[Any]:
    return LooseValidator(kind, what)


async def read_body(request: Request, kind: type[S], what: str) -> S:
    """Return the struct of a request's body; `what` names it in error messages."""
    body: S = await request.body(_validator(kind, what), limit_bytes=BODY_LIMIT_BYTES)
    return body


def read_query(request: Request, kind: type[S]) -> S:
    """Return the struct of a request's query string."""
    query: S = request.query(_validator(kind))
    return query
