"""The inbox of a tenant: the questions of all sources together, newest first."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from runwright.core.errors import NotFoundError
from runwright.core.ids import ItemId
from runwright.core.roles import Caller
from runwright.inbox.model import InboxItem, InboxSource

MOST_COUNTED: Final = 1_000


class InboxPage(msgspec.Struct, frozen=True):
    """A page of questions; `next_before`: before which time part of an id the next page begins."""

    rows: Sequence[InboxItem]
    next_before: str | None
    waiting: int
    """How many questions wait, at most `MOST_COUNTED`."""


class Inbox:
    """The inboxes of all tenants. `sources` by the prefix of the ids of their questions."""

    def __init__(self, sources: Mapping[str, InboxSource]) -> None:
        self._sources = sources

    async def list(self, tenant_id: str, *, answered: bool, before: str | None, limit: int) -> InboxPage:
        """Return up to `limit` questions that wait, or have ended, newest first."""
        found: list[InboxItem] = []
        waiting = 0
        for source in self._sources.values():
            found += await source.page(tenant_id, answered=answered, older_than=before, limit=limit + 1)
            waiting += await source.count(tenant_id, bound=MOST_COUNTED)
        found.sort(key=lambda item: _time_part(item.id), reverse=True)
        more = len(found) > limit
        rows = found[:limit]
        return InboxPage(rows, _time_part(rows[-1].id) if more else None, min(waiting, MOST_COUNTED))

    async def get(self, tenant_id: str, item_id: ItemId) -> InboxItem:
        """Return one question. NotFoundError."""
        return await self._source(item_id).get(tenant_id, item_id)

    async def answer(self, caller: Caller, item_id: ItemId, answer: str, note: str | None) -> InboxItem:
        """Answer a question and return it. NotFoundError, InvalidError, ConflictError."""
        return await self._source(item_id).answer(caller, item_id, answer, note)

    async def withdraw(self, caller: Caller, item_id: ItemId) -> InboxItem:
        """End a question without an answer. NotFoundError, ConflictError."""
        return await self._source(item_id).withdraw(caller, item_id)

    def _source(self, item_id: ItemId) -> InboxSource:
        source = self._sources.get(item_id.partition("_")[0])
        if source is None:
            raise NotFoundError(f"There is no question {item_id}.")
        return source


def _time_part(item_id: str) -> str:
    return item_id.partition("_")[2]
