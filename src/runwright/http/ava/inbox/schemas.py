"""The schemas of the inbox."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.ava.envelopes import AnyJson, Cursor, CursorPagination, JsonObject, PerPage, Time
from runwright.http.ava.events.schemas import check_payload, type_name
from runwright.http.ava.keys.schemas import RoleName
from runwright.http.fields import format_optional_time, plausible_id, storable_text, to_out
from runwright.http.validation import Problem, Validator
from runwright.inbox.model import InboxItem, InboxStatus
from runwright.questions.links import LINK_SECONDS, LONGEST_LINK_SECONDS, QuestionLink
from runwright.questions.model import (
    ANSWERS,
    LONGEST_ANSWER,
    LONGEST_QUESTION,
    LONGEST_SUBJECT,
    MOST_ANSWERS,
    MOST_QUORUM,
    MOST_USERS,
    Audience,
    QuestionCreate,
)
from runwright.questions.service import Answered

PAYLOAD_BYTES: Final = 16 * 1024
"""A larger payload is left out of lists."""

_LONGEST_NOTE: Final = 2048
_SHORTEST_SECONDS: Final = 10
_LONGEST_SECONDS: Final = 366 * 24 * 3600
_LONGEST_USER: Final = 128

QuestionRole = Literal["tenant-admin", "tenant-system-admin"]
UserIds = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=_LONGEST_USER)]], Meta(max_length=MOST_USERS)
]
Seconds = Annotated[int, Meta(ge=_SHORTEST_SECONDS, le=_LONGEST_SECONDS)]


class AudienceIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who may answer."""

    openapi_name: ClassVar[str] = "QuestionAudience"

    role: Annotated[QuestionRole, Meta(description="The role that may, and those above it.")] = "tenant-admin"
    user_ids: Annotated[
        UserIds, Meta(description="Users or keys. With any, only they may, in place of the role.")
    ] = field(default_factory=list)


class AskIn(AudienceIn, forbid_unknown_fields=True, kw_only=True):
    """A question to ask."""

    openapi_name: ClassVar[str] = "AskBody"

    question: Annotated[str, Meta(min_length=1, max_length=LONGEST_QUESTION)]
    subject: Annotated[str, Meta(max_length=LONGEST_SUBJECT, description="What it is about, in short.")] = ""
    payload: Annotated[JsonObject, Meta(description="What to decide on. At most 256 KiB.")] = field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )
    answers: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=LONGEST_ANSWER)]],
        Meta(min_length=1, max_length=MOST_ANSWERS, description="The possible answers, all different."),
    ] = field(default_factory=lambda: list(ANSWERS))
    quorum: Annotated[
        int, Meta(ge=1, le=MOST_QUORUM, description="How many people must give the same answer.")
    ] = 1
    four_eyes: Annotated[
        bool,
        Meta(description="The caller may not answer, nor the user who started the job that it is about."),
    ] = False
    sensitive: Annotated[
        bool, Meta(description="Links to it ask for a sign-in and do not show the payload.")
    ] = False
    job_id: Annotated[str | None, Meta(description="The job that it is about.")] = None
    timeout_seconds: Annotated[
        Seconds | None, Meta(description="For how long it waits. Needed with a quorum and with a default.")
    ] = None
    default: Annotated[str | None, Meta(description="The answer that is taken when the time has passed.")] = (
        None
    )
    escalate_after_seconds: Annotated[
        Seconds | None,
        Meta(description="After how long the users or the role of `escalate_to` may answer too."),
    ] = None
    escalate_to: AudienceIn | None = None


class InboxQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of the list."""

    status: Annotated[
        Literal["waiting", "answered"],
        Meta(description="Only open questions, or only those that have ended."),
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
    """The answer of a person, or the default."""

    answer: str
    note: str | None
    by: Annotated[str | None, Meta(description="The user that answered, else the key; null for the default.")]
    at: Time
    timed_out: Annotated[bool, Meta(description="Whether it is the default, taken when the time had passed.")]


class InboxItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person."""

    id: str
    kind: Annotated[
        str, Meta(description="What asks: `execution`: an agent has flagged an event; `question`: a program.")
    ]
    status: InboxStatus
    asked_by: Annotated[str, Meta(description="The name of the agent, the user or the key that asks.")]
    subject: Annotated[str, Meta(description="What it is about; of an agent's the type of the event.")]
    question: Annotated[str | None, Meta(description="The question; of an agent's its reason.")]
    answers: Annotated[list[str], Meta(description="The possible answers.")]
    payload: Annotated[AnyJson | None, Meta(description="What to decide on; of an agent's what it received.")]
    payload_omitted: Annotated[
        bool, Meta(description=f"In lists: it has more than {PAYLOAD_BYTES} bytes. Get the question itself.")
    ]
    job_id: Annotated[str | None, Meta(description="The job that it is about.")]
    role: Annotated[RoleName, Meta(description="The role that may answer, if no users are named.")]
    user_ids: Annotated[list[str], Meta(description="The users or keys that may answer; empty: the role.")]
    quorum: Annotated[int, Meta(description="How many people must give the same answer.")]
    four_eyes: Annotated[bool, Meta(description="Whether those who caused it may not answer.")]
    sensitive: Annotated[bool, Meta(description="Whether it is answered by people who are signed in only.")]
    asked_at: Time
    deadline: Time | None
    default: Annotated[str | None, Meta(description="The answer that is taken at the deadline.")]
    escalate_at: Time | None
    escalated_at: Time | None
    ended_at: Time | None
    answer: Annotated[
        InboxAnswerOut | None, Meta(description="What ended it; null while it waits, or if it ended without.")
    ]
    given: Annotated[
        list[InboxAnswerOut], Meta(description="What people have answered, in the order of their answers.")
    ]


class InboxPagination(CursorPagination, frozen=True, kw_only=True):
    """The position of a page in the inbox, and how many questions are open."""

    waiting: Annotated[int, Meta(description="The number of open questions; 1,000 means that or more.")]


class InboxPageOut(msgspec.Struct, frozen=True):
    """A page of questions, the newest first."""

    openapi_name: ClassVar[str] = "InboxPage"

    data: list[InboxItemOut]
    pagination: InboxPagination


class LinkIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A link to make."""

    openapi_name: ClassVar[str] = "LinkQuestionBody"

    user_id: Annotated[str, Meta(min_length=1, max_length=_LONGEST_USER, description="Whose answer it is.")]
    ttl_seconds: Annotated[
        int, Meta(ge=60, le=LONGEST_LINK_SECONDS, description="For how long the link works.")
    ] = LINK_SECONDS


class NewLinkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A link that was made: its address is shown this once."""

    openapi_name: ClassVar[str] = "NewQuestionLink"

    id: Annotated[str, Meta(description="`qlk_` and a lower-case ULID; the audit log names it as the key.")]
    question_id: str
    user_id: str
    created_at: Time
    expires_at: Time
    url: Annotated[str, Meta(description="To be opened in a browser; its page shows a form.")]
    token: Annotated[str, Meta(description="The part after `#token=`.")]


class LinkedQuestionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A question as the person with a link sees it."""

    openapi_name: ClassVar[str] = "LinkedQuestion"

    id: str
    status: InboxStatus
    subject: str
    question: Annotated[str | None, Meta(description="Null for a sensitive one.")]
    answers: list[str]
    payload: Annotated[AnyJson | None, Meta(description="Null for a sensitive one.")]
    sensitive: Annotated[bool, Meta(description="Whether answering it needs a sign-in.")]
    deadline: Time | None
    user_id: Annotated[str, Meta(description="Whose answer the link gives.")]
    used: Annotated[bool, Meta(description="Whether the link was used; it works once.")]
    answer: Annotated[str | None, Meta(description="What ended the question.")]


LINK: Final = Validator(LinkIn, {"user_id": storable_text})
LIST_INBOX: Final = Validator(InboxQuery)


def _check_texts(texts: list[str]) -> Iterable[Problem]:
    for index, text in enumerate(texts):
        for _, message in storable_text(text):
            yield str(index), message


ASK: Final = Validator(
    AskIn,
    {
        "question": storable_text,
        "subject": storable_text,
        "payload": check_payload,
        "answers": _check_texts,
        "user_ids": _check_texts,
        "job_id": plausible_id,
    },
)
ANSWER: Final = Validator(AnswerIn, {"answer": storable_text, "note": storable_text})


def item_out(item: InboxItem, *, most_bytes: int | None = None) -> InboxItemOut:
    terms = item.terms
    omitted = most_bytes is not None and len(bytes(item.payload)) > most_bytes
    return to_out(
        InboxItemOut,
        item,
        subject=type_name(item.subject) if item.kind == "execution" else item.subject,
        answers=list(item.answers),
        payload=None if omitted else item.payload,
        payload_omitted=omitted,
        answer=None if item.answer is None else to_out(InboxAnswerOut, item.answer),
        given=[to_out(InboxAnswerOut, one) for one in item.given],
        user_ids=list(terms.user_ids),
        **{name: getattr(terms, name) for name in ("role", "quorum", "four_eyes", "sensitive", "default")},
        **{name: format_optional_time(getattr(terms, name)) for name in _TIMES},
    )


def new_link_out(link: QuestionLink, base: str, text: str) -> NewLinkOut:
    """Return a new link; `base` is the address of the dashboard.

    The fragment of an address is not sent to servers, so it is in no log.
    """
    return to_out(NewLinkOut, link, url=f"{base}/answer#token={text}", token=text)


def linked_question_out(link: QuestionLink, answered: Answered) -> LinkedQuestionOut:
    """Return what a link shows; of a sensitive question nothing that is in it."""
    question = answered.question
    hidden = question.sensitive
    return LinkedQuestionOut(
        id=question.id,
        status=InboxStatus(question.status),
        subject="" if hidden else question.subject,
        question=None if hidden else question.question,
        answers=[] if hidden else list(question.answers),
        payload=None if hidden else question.payload,
        sensitive=hidden,
        deadline=format_optional_time(question.deadline),
        user_id=link.user_id,
        used=link.used_at is not None,
        answer=None if hidden else question.answer,
    )


_TIMES: Final = ("deadline", "escalate_at", "escalated_at")


def question_create(body: AskIn, asked_by: str, barred: Iterable[str]) -> QuestionCreate:
    """Return the question of a request; `barred` are those that may not answer it."""
    return QuestionCreate(
        question=body.question,
        asked_by=asked_by,
        subject=body.subject,
        payload=body.payload,
        answers=tuple(body.answers),
        audience=_audience(body),
        quorum=body.quorum,
        barred=tuple(dict.fromkeys(barred)),
        sensitive=body.sensitive,
        job_id=body.job_id,
        timeout=_duration(body.timeout_seconds),
        default_answer=body.default,
        escalate_after=_duration(body.escalate_after_seconds),
        escalation=None if body.escalate_to is None else _audience(body.escalate_to),
    )


def _audience(body: AudienceIn) -> Audience:
    return Audience(role=body.role, user_ids=tuple(body.user_ids))


def _duration(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
