"""Questions to people, and the sources that they come from.

A question waits until a person answers it. The first answer stands: any later one is refused, except the same
answer of the same person, which is taken for a repetition. Sources differ by the prefix of their ids; ids of
all sources sort by time.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from runwright.core.ids import ItemId
from runwright.core.roles import Caller, Role


class InboxStatus(StrEnum):
    """The state of a question; all but the first are ends."""

    WAITING = "waiting"
    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"


class InboxAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has answered, or what stands in its place."""

    answer: str
    note: str | None
    by: str | None
    """None for the default."""
    at: datetime
    timed_out: bool = False
    """Whether it is the default, taken because no answer came in time."""


class InboxTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Who may answer a question, how many must agree, and until when."""

    role: str = Role.TENANT_ADMIN.wire_name
    user_ids: tuple[str, ...] = ()
    quorum: int = 1
    four_eyes: bool = False
    sensitive: bool = False
    deadline: datetime | None = None
    default: str | None = None
    escalate_at: datetime | None = None
    escalated_at: datetime | None = None


_PLAIN: Final = InboxTerms()


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person, and the answer if there is one."""

    id: str
    kind: str
    status: InboxStatus
    asked_by: str
    """The name of what asks: an agent, a user, a worker."""
    subject: str
    """What it is about: the type of an event, or a text of the caller."""
    question: str | None
    """Why a person is asked, in the words of what asks."""
    answers: tuple[str, ...]
    """What may be answered."""
    payload: msgspec.Raw
    asked_at: datetime
    ended_at: datetime | None
    job_id: str | None = None
    answer: InboxAnswer | None
    """What ended it; None while it waits, and if it ended without."""
    given: tuple[InboxAnswer, ...] = ()
    """What people have answered: more than one where several must agree."""
    terms: InboxTerms = _PLAIN


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
        """Answer a question. NotFoundError, InvalidError, ForbiddenError; ConflictError if it has ended."""

    async def withdraw(self, caller: Caller, item_id: ItemId) -> InboxItem:
        """End a question without an answer. NotFoundError; ConflictError if it has ended, or cannot be."""
