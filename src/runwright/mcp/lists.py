"""Tools that list: a page that fits into an answer, and the cursor of the next."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

from msgspec import UNSET, Meta, UnsetType

from runwright.client.faces import Async
from runwright.client.models.base import Info
from runwright.client.results import Results
from runwright.mcp.answers import Answer, rows_that_fit
from runwright.mcp.shown import shown
from runwright.mcp.tools import Parameters, Said, ToolError

InfoT = TypeVar("InfoT", bound=Info)

MOST_ROWS: Final = 100
_DIGITS: Final = 18

Cursor = Annotated[str, Meta(max_length=1000, description="`next_cursor` of the answer before.")]
Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS, description="Most rows.")]


class PageParameters(Parameters, frozen=True, kw_only=True):
    """The parameters of all tools that list."""

    limit: Limit = 20
    cursor: Cursor | UnsetType = UNSET


async def list_page(
    noun: str,
    results: Callable[[int], Results[Async, InfoT]],
    parameters: PageParameters,
    fields: Sequence[str],
) -> Said:
    """Return a page of a list; `results` returns the list with pages of so many rows."""
    cursor = None if parameters.cursor is UNSET else parameters.cursor
    page = await results(parameters.limit).page(cursor)
    rows = _rows(page.rows, fields)
    fitting = rows_that_fit(rows)
    if fitting < len(rows):  # read again, so that the cursor is that of the last row shown
        page = await results(fitting).page(cursor)
        rows = _rows(page.rows, fields)
    more = ", and there are more" if page.next_cursor else ""
    return Said(f"{len(rows)} {noun}{more}.", Answer(data=rows, next_cursor=page.next_cursor))


def _rows(found: Sequence[InfoT], fields: Sequence[str]) -> list[dict[str, Any]]:
    return [shown(row, fields) for row in found]


def number_in(cursor: str | UnsetType) -> int:
    """Return the position that a cursor of ours names; 0 without one. Raises ToolError for any other text."""
    if cursor is UNSET:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > _DIGITS:
        raise ToolError("`cursor` is not one of this tool's.")
    return int(cursor)
