"""Windows of what is long: a page of a list, a part of a text, and the cursor of the next one."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.client.dual_mode import Async
from runwright.client.models.base import Info
from runwright.client.pagination import Results
from runwright.mcp.field_selection import select_fields
from runwright.mcp.results import ToolOutput, ToolResult, rows_that_fit, slice_of
from runwright.mcp.tools import Parameters, ToolError

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
) -> ToolResult:
    """Return a page of a list; `results` returns the list with pages of so many rows."""
    cursor = None if parameters.cursor is UNSET else parameters.cursor
    page = await results(parameters.limit).page(cursor)
    rows = _rows(page.rows, fields)
    fitting = rows_that_fit(rows)
    if fitting < len(rows):  # read again, so that the cursor is that of the last row returned
        page = await results(fitting).page(cursor)
        rows = _rows(page.rows, fields)
    more = ", and there are more" if page.next_cursor else ""
    return ToolResult(f"{len(rows)} {noun}{more}.", ToolOutput(data=rows, next_cursor=page.next_cursor))


def list_part(
    rows: Sequence[object], cursor: str | UnsetType, *, most: int = MOST_ROWS, beside: object = None
) -> tuple[list[object], str | None]:
    """Return those of rows that are all known which fit into an output, and the cursor of the next ones."""
    start = position_in(cursor)
    left = rows[start : start + most]
    part = left[: rows_that_fit(left, beside=beside)]
    end = start + len(part)
    return [*part], str(end) if end < len(rows) else None


def _rows(found: Sequence[InfoT], fields: Sequence[str]) -> list[dict[str, Any]]:
    return [select_fields(row, fields) for row in found]


def position_in(cursor: str | UnsetType) -> int:
    """Return the position that a cursor of ours names; 0 without one. Raises ToolError for any other text."""
    if cursor is UNSET:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > _DIGITS:
        raise ToolError("`cursor` is not one of this tool's.")
    return int(cursor)


class TextPart(msgspec.Struct, frozen=True):
    """A part of a text that fits into an output."""

    text: str
    start: int
    length: int
    """Of the whole text."""
    next_cursor: str | None

    @property
    def place(self) -> str:
        """Where it begins, for the summary."""
        return f"from character {self.start} of {self.length}"


def text_part(text: str, cursor: str | UnsetType, *, beside: object = None) -> TextPart:
    """Return the part of a text that a cursor names, by default the first. ToolError for another cursor.

    `beside`: what else the output has.
    """
    start = position_in(cursor)
    part, following = slice_of(text, start, beside=beside)
    return TextPart(part, start, len(text), None if following is None else str(following))
