"""Lists of the server, read page by page."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from runwright.client.dual_mode import Iteration, M, call
from runwright.client.models.base import Info, decode_info
from runwright.client.session import Session, members_of, rows_of

I = TypeVar("I", bound=Info)  # noqa: E741  of Info

PAGE_ROWS: Final = 100
"""How many rows are read at once."""

_UNFILTERED: Final = frozenset({"q", "sort", "payloads", "per_page"})


class Page(msgspec.Struct, Generic[I], frozen=True, kw_only=True):
    """A page of a list."""

    rows: list[I]
    next_cursor: str | None
    total: int | None
    """How many rows the list has, an estimate above 10,000; None where the server does not count."""
    raw: bytes
    """The answer as the server sent it."""


class PageSource(msgspec.Struct, Generic[I], frozen=True, kw_only=True):
    """A list of the server."""

    into: type[I]
    route: str
    ids: tuple[str, ...] | Callable[[], Awaitable[tuple[str, ...]]] = ()
    """What is set in for the names in the route, or what returns it when it is needed."""
    query: Mapping[str, object] = {}
    member: str = "data"


class Results(Iteration[M, I]):
    """A list, read page by page as rows are asked for: `for row in rw.jobs.list(): …`, or `async for`."""

    def __init__(self, session: Session, source: PageSource[I]) -> None:
        super().__init__(session, lambda: list_rows(session, source))
        self._source = source

    @call
    async def page(self, cursor: str | None = None) -> Page[I]:
        """Return the first page, or the one that a page's `next_cursor` names."""
        return await read_page(self._session, self._source, cursor)

    @call
    async def first(self) -> I | None:
        """Return the first row, or None."""
        async with aclosing(self._produce()) as rows:
            return await anext(rows, None)


async def read_page(session: Session, source: PageSource[I], cursor: str | None) -> Page[I]:
    """Return a page of a list, by default the first."""
    query = source.query if cursor is None else {**source.query, "cursor": cursor}
    ids = await source.ids() if callable(source.ids) else source.ids
    answer = await session.send(source.route, *ids, query=query)
    members = members_of(answer)
    rows = [decode_info(source.into, row) for row in rows_of(members, source.member)]
    following, total = _following(members)
    return Page(rows=rows, next_cursor=following, total=total, raw=answer.body)


async def list_rows(session: Session, source: PageSource[I]) -> AsyncGenerator[I, None]:
    """Yield the rows of a list, page by page as they are asked for."""
    cursor: str | None = None
    while True:
        page = await read_page(session, source, cursor)
        for row in page.rows:
            yield row
        cursor = page.next_cursor
        if cursor is None:
            return


def filters(given: Mapping[str, object]) -> dict[str, object]:
    """Return the query of a list that is selected by fields of its rows."""
    named = {name if name in _UNFILTERED else f"filter[{name}]": value for name, value in given.items()}
    return {"per_page": PAGE_ROWS, **named}


class _Paging(msgspec.Struct, frozen=True):
    next_cursor: str | None = None
    total: int | None = None


def _following(members: Mapping[str, msgspec.Raw]) -> tuple[str | None, int | None]:
    """Return the cursor of the next page and the number of rows, as AVA, AGH or Avala write them."""
    if "pagination" in members:
        paging = msgspec.json.decode(members["pagination"], type=_Paging)
        return paging.next_cursor, paging.total
    if "next_cursor" in members:
        return msgspec.json.decode(members["next_cursor"], type=str | None) or None, None
    link = msgspec.json.decode(members.get("next", msgspec.Raw(b"null")), type=str | None)
    cursors = parse_qs(urlsplit(link or "").query).get("cursor")
    return (cursors[0] if cursors else None), None
