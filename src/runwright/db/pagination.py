"""One page of a table's rows, newest first: the two statements that every such list is made of."""

from collections.abc import Callable, Sequence

import msgspec
from asyncpg import Record

from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.db.pool import Database


class Conditions:
    """What rows must meet, and the values that are part of it."""

    def __init__(self, always: str = "true", *values: object) -> None:
        self._parts = [always]
        self._values = list(values)

    def add(self, condition: str, value: object) -> None:
        """Ask for one more, with `{}` where the value stands; one whose value is None nobody asked for."""
        if value is not None:
            self._values.append(value)
            self._parts.append(condition.format(f"${len(self._values)}"))

    @property
    def text(self) -> str:
        """They as SQL."""
        return " AND ".join(self._parts)

    @property
    def values(self) -> Sequence[object]:
        """The parameters of that SQL."""
        return self._values


def _id_of(row: Record) -> str:
    found: str = row["id"]
    return found


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a list is of."""

    columns: str
    table: str
    joins: str = ""
    """What columns come from beside; it adds no row and takes none away."""
    key: str = "id"
    """The column that falls from row to row; no two rows have the same."""
    cursor_of: Callable[[Record], str] = _id_of
    key_of: Callable[[str], object] = str
    """What a cursor says in the type of the key."""


async def fetch_page(db: Database, rows: Rows, where: Conditions, page: PageRequest) -> Listing[Record]:
    """Return a page, and how many rows there are in all, counted up to a bound."""
    bounded = f"SELECT FROM {rows.table} WHERE {where.text} LIMIT {EXACT_COUNT_LIMIT}"
    total: int = await db.fetchval(f"SELECT count(*) FROM ({bounded}) AS bounded", *where.values)
    values, condition, offset = [*where.values], where.text, (page.page - 1) * page.per_page
    if page.after_id is not None:
        values.append(rows.key_of(page.after_id))
        condition, offset = f"{condition} AND {rows.key} < ${len(values)}", 0
    found = await db.fetch(
        f"SELECT {rows.columns} FROM {rows.table} {rows.joins} WHERE {condition}"
        f" ORDER BY {rows.key} DESC LIMIT {page.per_page + 1} OFFSET {offset}",
        *values,
    )
    shown = found[: page.per_page]
    more = len(found) > page.per_page
    return Listing(
        rows=shown, total=total, has_more=more, next_id=rows.cursor_of(shown[-1]) if more else None
    )
