"""Questions to people, and the sources that they come from.

A question waits until a person answers it. The first answer stands: any later one is refused, except the same
answer of the same person, which is taken for a repetition. Sources differ by the prefix of their ids; ids of
all sources sort by time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runwright.core.ids import ItemId
from runwright.core.roles import Caller


class InboxAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has answered."""

    answer: str
    note: str | None
    by: str
    at: datetime


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person, and the answer if there is one."""

    id: str
    kind: str
    asked_by: str
    """The name of what asks: an agent."""
    subject: str
    """What it is about: the type of an event."""
    question: str | None
    """Why a person is asked, in the words of what asks."""
    answers: tuple[str, ...]
    """What may be answered."""
    payload: msgspec.Raw
    asked_at: datetime
    answer: InboxAnswer | None


class InboxSource(Protocol):
    """A part of the server that asks people."""

    async def page(
        self, tenant_id: str, *, answered: bool, older_than: str | None, limit: int
    ) -> Sequence[InboxItem]:
        """Return up to `limit` questions, newest first; `older_than`: the time part of an id."""

    async def count(self, tenant_id: str, *, bound: int) -> int:
        """Return how many questions wait, at most `bound`."""

    async def get(self, tenant_id: str, item_id: ItemId) -> InboxItem:
        """Return one question. NotFoundError."""

    async def answer(self, caller: Caller, item_id: ItemId, answer: str, note: str | None) -> InboxItem:
        """Answer a question. NotFoundError, InvalidError; ConflictError if it was answered."""
