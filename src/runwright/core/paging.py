"""Pages of a list: by number for the first rows, by cursor at any depth."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")
S = TypeVar("S")

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

    def map(self, read: Callable[[T], S]) -> "Listing[S]":
        """Return the same page of what its rows are read as."""
        return Listing(
            rows=[read(row) for row in self.rows],
            total=self.total,
            has_more=self.has_more,
            next_id=self.next_id,
        )


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a list that is walked both ways: the newest ones, or those next to an id."""

    limit: int
    older_than: str | None = None
    newer_than: str | None = None

    @property
    def order(self) -> str:
        """How a query must sort by id, so that its first rows are those next to where the window begins."""
        return "DESC" if self.newer_than is None else "ASC"


class View(msgspec.Struct, Generic[T], frozen=True):
    """What a window shows, newest first, and whether there is more on either side."""

    rows: list[T]
    older: bool
    newer: bool

    @classmethod
    def of(cls, rows: Sequence[T], window: Window) -> "View[T]":
        """Return the view of rows in the window's order, one more than its limit where there is one."""
        more = len(rows) > window.limit
        shown = list(rows[: window.limit])
        if window.newer_than is None:
            return cls(shown, older=more, newer=window.older_than is not None)
        return cls(shown[::-1], older=True, newer=more)
