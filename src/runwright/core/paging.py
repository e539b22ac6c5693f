"""Pages of a list: by number for the first rows, by cursor at any depth."""

from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

EXACT_COUNT_LIMIT: Final = 10_000
"""Totals are exact up to here and estimated above."""


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which page: `after_id` (a decoded cursor: rows older than that id) or else `page`, from 1."""

    page: int = 1
    per_page: int = 20
    after_id: str | None = None


class Listing(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of rows, newest first; `next_id` is the cursor's content where more follow."""

    rows: list[T]
    total: int
    has_more: bool
    next_id: str | None
