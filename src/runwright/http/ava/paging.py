"""Pages by number for the first rows, by an opaque cursor at any depth."""

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.core.errors import InvalidError
from runwright.core.ids import Prefix, is_id
from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.http.ava.wire import Pagination
from runwright.tenants.model import is_tenant_id

_LONGEST_CURSOR: Final = 172
_NUMBER: Final = re.compile("[1-9][0-9]{0,8}")

T = TypeVar("T")

PageNumber = Annotated[
    int,
    Meta(
        ge=1,
        description="Which page, from 1; the first 10,000 rows can be reached.",
        extra_json_schema={"default": 1},
    ),
]
PerPage = Annotated[int, Meta(ge=1, le=100, description="Rows on a page.")]
Cursor = Annotated[str, Meta(description="`next_cursor` of the page before, instead of `page`.")]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a list's query that says which page."""

    page: PageNumber | UnsetType = UNSET
    per_page: PerPage = 20
    cursor: Cursor | UnsetType = UNSET


def read_page(query: PageQuery, prefix: Prefix) -> PageRequest:
    """Return which page of things with ids is asked for; the cursor of another kind of list is refused."""
    return _read_page(query, partial(is_id, prefix))


def read_number_page(query: PageQuery) -> PageRequest:
    """Return which page of numbered things is asked for; the cursor of another kind of list is refused."""
    return _read_page(query, lambda text: _NUMBER.fullmatch(text) is not None)


def read_tenant_page(query: PageQuery) -> PageRequest:
    """Return which page of tenants is asked for; their ids have any shape."""
    return _read_page(query, is_tenant_id)


def _read_page(query: PageQuery, fits: Callable[[str], bool]) -> PageRequest:
    if query.cursor is not UNSET:
        if query.page is not UNSET:
            raise InvalidError({"cursor": ["Cannot be combined with page."]})
        return PageRequest(per_page=query.per_page, after_id=_decode_cursor(query.cursor, fits))
    page = 1 if query.page is UNSET else query.page
    if page * query.per_page > EXACT_COUNT_LIMIT:
        raise InvalidError({"page": [f"Reaches the first {EXACT_COUNT_LIMIT} rows only; use cursor beyond."]})
    return PageRequest(page=page, per_page=query.per_page)


def show_page(listing: Listing[T], page: PageRequest) -> Pagination:
    return Pagination(
        page=page.page if page.after_id is None else None,
        per_page=page.per_page,
        total=listing.total,
        has_more=listing.has_more,
        next_cursor=None if listing.next_id is None else _encode_cursor(listing.next_id),
    )


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
