"""Pages of a table's rows, newest first: the two statements that every list of the API is made of."""

from collections.abc import Callable, Sequence

import msgspec
from asyncpg import Record

from runwright.core.paging import EXACT_COUNT_LIMIT, Listing, PageRequest
from runwright.db.pool import Database


class Conditions:
    """A WHERE clause with its parameters."""

    def __init__(self, always: str = "true", *values: object) -> None:
        self._parts = [always]
        self._values = list(values)

    def add(self, condition: str, value: object) -> None:
        """Add a condition with `{}` as the placeholder of its value; ignored where the value is None."""
        if value is not None:
            self._values.append(value)
            self._parts.append(condition.format(f"${len(self._values)}"))

    @property
    def text(self) -> str:
        """Return the clause as SQL."""
        return " AND ".join(self._parts)

    @property
    def values(self) -> Sequence[object]:
        """Return its parameters."""
        return self._values


def _id_of(row: Record) -> str:
    found: str = row["id"]
    return found


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that a list pages through."""

    columns: str
    table: str
    joins: str = ""
    """Joins for further columns; they must neither add nor remove rows."""
    key: str = "id"
    """The unique column by which rows are ordered, descending."""
    cursor_of: Callable[[Record], str] = _id_of
    key_of: Callable[[str], object] = str
    """Convert a cursor to the type of the key."""


async def fetch_page(db: Database, rows: Rows, where: Conditions, page: PageRequest) -> Listing[Record]:
    """Return one page, with the total number of rows counted up to EXACT_COUNT_LIMIT."""
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
