"""The envelopes of all responses, and the pages of lists.

A page is chosen by number among the first rows, or by an opaque cursor at any depth.
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError, NotFoundError
from runwright.core.ids import Prefix, is_id
from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.core.struct_fields import set_fields
from runwright.tenants.model import is_tenant_id

_LONGEST_CURSOR: Final = 172
_NUMBER: Final = re.compile("[1-9][0-9]{0,8}")
_TIME_PART: Final = re.compile("[0-7][0-9a-hjkmnp-tv-z]{25}")
_POSITION: Final = re.compile("[0-9]{1,18}")

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2025-06-01T10:00:00.000Z"])]
When = Annotated[datetime, Meta(tz=True)]
Moment = Annotated[
    str,
    Meta(
        extra_json_schema={"anyOf": [{"format": "date-time"}, {"pattern": "^-[0-9]{1,4}[smhdw]$"}]},
        examples=["2025-06-01T10:00:00.000Z", "-24h"],
    ),
]
"""A time, or how long before now."""
AnyJson = Annotated[msgspec.Raw, Meta(extra_json_schema={"description": "Any JSON value."})]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class Data(msgspec.Struct, Generic[T], frozen=True):
    """The envelope of every success."""

    data: T


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a page in its list; `page` is null for a page that was requested by cursor."""

    page: int | None
    per_page: int
    total: Annotated[int, Meta(description="Exact up to 10,000, an estimate above.")]
    has_more: bool
    next_cursor: str | None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The envelope of a list, newest first."""

    data: list[T]
    pagination: Pagination


class CursorPagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a list without page numbers a page is."""

    per_page: int
    has_more: Annotated[bool, Meta(description="Also where this page is not full.")]
    next_cursor: str | None


PageNumber = Annotated[
    int,
    Meta(
        ge=1,
        description="The page, from 1; only the first 10,000 rows can be read by page.",
        extra_json_schema={"default": 1},
    ),
]
PerPage = Annotated[int, Meta(ge=1, le=100, description="The number of rows on a page.")]
Cursor = Annotated[str, Meta(description="`next_cursor` of the previous page, instead of `page`.")]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that select a page of a list."""

    page: PageNumber | UnsetType = UNSET
    per_page: PerPage = 20
    cursor: Cursor | UnsetType = UNSET


class Paged(Protocol):
    """The parameters of `PageQuery`, in a struct that has them among others."""

    @property
    def page(self) -> int | UnsetType: ...

    @property
    def per_page(self) -> int: ...

    @property
    def cursor(self) -> str | UnsetType: ...


def read_page(query: PageQuery, prefix: Prefix) -> PageRequest:
    """Return the requested page of resources with ids; the cursor of another kind of list is refused."""
    return read_cursor_page(query, partial(is_id, prefix))


def read_number_page(query: PageQuery) -> PageRequest:
    """Return the requested page of numbered resources; the cursor of another kind of list is refused."""
    return read_cursor_page(query, lambda text: _NUMBER.fullmatch(text) is not None)


def read_tenant_page(query: PageQuery) -> PageRequest:
    """Return the requested page of tenants, whose ids have no common form."""
    return read_cursor_page(query, is_tenant_id)


def read_cursor_page(query: Paged, fits: Callable[[str], bool]) -> PageRequest:
    """Return the requested page; a cursor whose content does not fit is refused."""
    if query.cursor:  # a blank one is none
        if query.page is not UNSET:
            raise InvalidError({"cursor": ["Cannot be combined with page."]})
        return PageRequest(per_page=query.per_page, after_id=_decode_cursor(query.cursor, fits))
    page = 1 if query.page is UNSET else query.page
    if page * query.per_page > EXACT_COUNT_LIMIT:
        raise InvalidError({"page": [f"Reaches the first {EXACT_COUNT_LIMIT} rows only; use cursor beyond."]})
    return PageRequest(page=page, per_page=query.per_page)


def page_of(listing: Listing[R], page: PageRequest, show: Callable[[R], T]) -> Page[T]:
    """Return the page with each row as the API shows it."""
    pagination = Pagination(
        page=page.page if page.after_id is None else None,
        per_page=page.per_page,
        total=listing.total,
        has_more=listing.has_more,
        next_cursor=None if listing.next_id is None else _encode_cursor(listing.next_id),
    )
    return Page([show(row) for row in listing.rows], pagination)


def in_utc(at: datetime | None) -> datetime | None:
    """Return the time in UTC, truncated to milliseconds as the API shows it; None if there is none."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def optional(value: T | UnsetType) -> T | None:
    """Return the value of a field; None if it was not given."""
    return None if value is UNSET else value


def filter_of(kind: type[S], query: msgspec.Struct, **others: object) -> S:
    """Return a filter with the fields of a query that were given, times in UTC, and with `others`."""
    for name, value in set_fields(query).items():
        if name in kind.__struct_fields__:
            others.setdefault(name, in_utc(value) if isinstance(value, datetime) else value)
    return kind(**others)


def read_only(body: type[msgspec.Struct], out: type[msgspec.Struct]) -> dict[str, str]:
    """Return the refusals of the fields that are in a response but not in the body that creates it."""
    names = [name for name in out.__struct_fields__ if name not in body.__struct_fields__]
    return dict.fromkeys(names, "Is read-only.")


def known_id(prefix: Prefix, resource: str, value: str) -> str:
    """Return an id from a path; NotFoundError, without asking the store, for what cannot be one."""
    if not is_id(prefix, value):
        raise NotFoundError(f"There is no such {resource}.")
    return value


def read_position(cursor: str | UnsetType) -> int | None:
    """Return the position that a cursor of `encode_position` names; None without a cursor."""
    if not cursor:
        return None
    return int(_decode_cursor(cursor, lambda text: _POSITION.fullmatch(text) is not None))


def encode_position(position: int) -> str:
    """Return the cursor of a list that is ordered by positions."""
    return _encode_cursor(str(position))


def read_time_part(cursor: str | UnsetType) -> str | None:
    """Return the time part of an id that a cursor of `encode_time_part` names; None without a cursor."""
    if not cursor:
        return None
    return _decode_cursor(cursor, lambda text: _TIME_PART.fullmatch(text) is not None)


def encode_time_part(time_part: str) -> str:
    """Return the cursor of a list of several kinds of ids, which is ordered by their time parts."""
    return _encode_cursor(time_part)


def _encode_cursor(row_id: str) -> str:
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, fits: Callable[[str], bool]) -> str:
    if len(cursor) <= _LONGEST_CURSOR and cursor.isascii():
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            row_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            row_id = ""
        if fits(row_id):
            return row_id
    raise InvalidError({"cursor": ["Is not a cursor that a list of this kind gave."]})
