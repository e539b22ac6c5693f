"""Pages of a list: by number for the first rows, by cursor at any depth."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")
S = TypeVar("S")

EXACT_COUNT_LIMIT: Final = 10_000
"""Totals are exact up to this number and estimated above it."""


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A requested page: `after_id` (a decoded cursor: rows older than that id), else `page`, from 1."""

    page: int = 1
    per_page: int = 20
    after_id: str | None = None


class Listing(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of rows, newest first; `next_id` is the content of the next cursor, if more follow."""

    rows: list[T]
    total: int
    has_more: bool
    next_id: str | None

    def map(self, read: Callable[[T], S]) -> "Listing[S]":
        """Return the page with every row converted by `read`."""
        return Listing(
            rows=[read(row) for row in self.rows],
            total=self.total,
            has_more=self.has_more,
            next_id=self.next_id,
        )


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window of a list that is paged in both directions: the newest rows, or those next to an id."""

    limit: int
    older_than: str | None = None
    newer_than: str | None = None

    @property
    def order(self) -> str:
        """The order by id in which a query returns the rows next to the start of the window first."""
        return "DESC" if self.newer_than is None else "ASC"


class View(msgspec.Struct, Generic[T], frozen=True):
    """The rows of a window, newest first, and whether there are more on either side."""

    rows: list[T]
    older: bool
    newer: bool

    @classmethod
    def of(cls, rows: Sequence[T], window: Window) -> "View[T]":
        """Return the view of rows in the window's order; a row beyond the limit means that there are more."""
        more = len(rows) > window.limit
        shown = list(rows[: window.limit])
        if window.newer_than is None:
            return cls(shown, older=more, newer=window.older_than is not None)
        return cls(shown[::-1], older=True, newer=more)
