"""The schemas of the inbox."""

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.ava.envelopes import AnyJson, Cursor, CursorPagination, PerPage, Time
from runwright.http.ava.events.schemas import type_name
from runwright.http.fields import storable_text, to_out
from runwright.http.validation import Validator
from runwright.inbox.model import InboxItem

PAYLOAD_BYTES: Final = 16 * 1024
"""A larger payload is left out of lists."""

_LONGEST_NOTE: Final = 2048


class InboxQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of the list."""

    status: Annotated[
        Literal["waiting", "answered"], Meta(description="Only open questions, or only answered ones.")
    ] = field(default="waiting", name="filter[status]")
    per_page: PerPage = 20
    cursor: Annotated[Cursor, Meta(description="`next_cursor` of the previous page.")] | UnsetType = UNSET


class AnswerIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An answer to a question."""

    openapi_name: ClassVar[str] = "AnswerBody"

    answer: Annotated[str, Meta(min_length=1, max_length=100, description="One of the question's `answers`.")]
    note: Annotated[str, Meta(max_length=_LONGEST_NOTE, description="The reason for the answer.")] | None = (
        None
    )


class InboxAnswerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a person."""

    answer: str
    note: str | None
    by: Annotated[str, Meta(description="The user that answered, else the key.")]
    at: Time


class InboxItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person."""

    id: str
    kind: Annotated[
        str, Meta(description="The kind of question; `execution`: an agent has flagged an event.")
    ]
    status: Literal["waiting", "answered"]
    asked_by: Annotated[str, Meta(description="The name of the agent.")]
    subject: Annotated[str, Meta(description="The type of the event that it is about.")]
    question: Annotated[str | None, Meta(description="The agent's reason.")]
    answers: Annotated[list[str], Meta(description="The possible answers.")]
    payload: Annotated[AnyJson | None, Meta(description="The payload that the agent received.")]
    payload_omitted: Annotated[
        bool, Meta(description=f"In lists: it has more than {PAYLOAD_BYTES} bytes. Get the question itself.")
    ]
    asked_at: Time
    answer: InboxAnswerOut | None


class InboxPagination(CursorPagination, frozen=True, kw_only=True):
    """The position of a page in the inbox, and how many questions are open."""

    waiting: Annotated[int, Meta(description="The number of open questions; 1,000 means that or more.")]


class InboxPageOut(msgspec.Struct, frozen=True):
    """A page of questions, the newest first."""

    openapi_name: ClassVar[str] = "InboxPage"

    data: list[InboxItemOut]
    pagination: InboxPagination


LIST_INBOX: Final = Validator(InboxQuery)
ANSWER: Final = Validator(AnswerIn, {"answer": storable_text, "note": storable_text})


def item_out(item: InboxItem, *, most_bytes: int | None = None) -> InboxItemOut:
    omitted = most_bytes is not None and len(bytes(item.payload)) > most_bytes
    return to_out(
        InboxItemOut,
        item,
        status="waiting" if item.answer is None else "answered",
        subject=type_name(item.subject),
        answers=list(item.answers),
        payload=None if omitted else item.payload,
        payload_omitted=omitted,
        answer=None if item.answer is None else to_out(InboxAnswerOut, item.answer),
    )
