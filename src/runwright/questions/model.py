"""Questions to people, as programs and steps ask them.

A question waits until as many people as its quorum have given the same answer, its deadline passes, or it
is withdrawn; then it has ended and never changes again. Each person answers once. Who may answer are named
users, else everyone of a role and above; after the escalation those of the escalation may too. Users and keys
that are barred (four eyes) never may.

A platform key speaks for the users that it names, so each of them is a person. A key of a tenant is one
person, whatever users it names: otherwise one key could agree with itself.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from runwright.core.errors import ForbiddenError, InvalidError
from runwright.core.ids import QuestionId
from runwright.core.roles import ROLES, Caller, Role
from runwright.events.publish import PAYLOAD_LIMIT_BYTES

PREFIX: Final = "qst"
ANSWERS: Final = ("approve", "reject")
MOST_ANSWERS: Final = 20
MOST_USERS: Final = 50
MOST_WAITING: Final = 10_000
"""How many questions of one tenant may wait."""
MOST_QUORUM: Final = 20
LONGEST_ANSWER: Final = 100
LONGEST_NOTE: Final = 2_048
LONGEST_QUESTION: Final = 2_000
LONGEST_SUBJECT: Final = 200
LONGEST_WAIT: Final = timedelta(days=366)
_LONGEST_USER: Final = 128


class QuestionStatus(StrEnum):
    """The state of a question; all but the first are ends."""

    WAITING = "waiting"
    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Who may answer: these users, or without any everyone of the role and above."""

    role: str = Role.TENANT_ADMIN.wire_name
    user_ids: tuple[str, ...] = ()

    def includes(self, role: Role, names: Iterable[str]) -> bool:
        """Return whether it includes a person of a role; `names` are the user's and the key's ids."""
        return any(name in self.user_ids for name in names) if self.user_ids else role >= ROLES[self.role]


_ADMINS: Final = Audience()


class QuestionCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A question to ask."""

    question: str
    asked_by: str
    kind: str = "question"
    subject: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    answers: tuple[str, ...] = ANSWERS
    audience: Audience = _ADMINS
    quorum: int = 1
    barred: tuple[str, ...] = ()
    sensitive: bool = False
    job_id: str | None = None
    reference: str | None = None
    timeout: timedelta | None = None
    default_answer: str | None = None
    escalate_after: timedelta | None = None
    escalation: Audience | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was asked, and its end if it has ended."""

    id: QuestionId
    tenant_id: str
    kind: str
    asked_by: str
    subject: str
    question: str
    payload: msgspec.Raw
    answers: tuple[str, ...]
    job_id: str | None = None
    reference: str | None = None
    audience: Audience
    escalation: Audience | None = None
    barred: tuple[str, ...]
    quorum: int
    sensitive: bool
    deadline: datetime | None = None
    default_answer: str | None = None
    escalate_at: datetime | None = None
    escalated_at: datetime | None = None
    status: QuestionStatus
    answer: str | None = None
    answered_by: str | None = None
    note: str | None = None
    asked_at: datetime
    ended_at: datetime | None = None

    @property
    def timed_out(self) -> bool:
        """Whether its deadline ended it."""
        return self.status is QuestionStatus.TIMED_OUT

    def require_audience(self, role: Role, names: Iterable[str]) -> None:
        """Raise ForbiddenError where a person may not answer."""
        people = tuple(names)
        if any(name in self.barred for name in people):
            raise ForbiddenError("Those who caused this question may not answer it: it needs another person.")
        if self.audience.includes(role, people):
            return
        if self.escalated_at is None or self.escalation is None or not self.escalation.includes(role, people):
            who = "the users that it names" if self.audience.user_ids else self.audience.role
            raise ForbiddenError(f"This question is for {who}.")

    def may_come_to(self, person: "Person") -> bool:
        """Return whether a person may answer, now or after the escalation."""
        if any(name in self.barred for name in person.names):
            return False
        audiences = (self.audience, self.escalation)
        return any(one is not None and one.includes(person.role, person.names) for one in audiences)

    def outcome(self) -> str:
        """Return how it ended, in words."""
        if self.status is QuestionStatus.WITHDRAWN:
            return "The question was withdrawn."
        if self.timed_out:
            took = "without a default" if self.answer is None else f"and took its default, {self.answer}"
            return f"The time to answer has passed, {took}."
        return f"The question was answered already: {self.answer}, by {self.answered_by}."


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has answered."""

    question_id: QuestionId
    voter: str
    user_id: str
    answer: str
    note: str | None = None
    at: datetime


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers: a caller, or the user of a link."""

    voter: str
    user_id: str
    role: Role
    names: tuple[str, ...]
    """What an audience may name or bar."""


def person_of(caller: Caller) -> Person:
    """Return the person that a caller is."""
    return Person(
        voter=caller.user_id if caller.by_platform else caller.key_id,
        user_id=caller.user_id,
        role=caller.role,
        names=names_of(caller),
    )


def names_of(caller: Caller) -> tuple[str, ...]:
    """Return the ids by which a caller is named or barred."""
    return (caller.user_id,) if caller.by_platform else tuple(dict.fromkeys((caller.user_id, caller.key_id)))


def check_question(new: QuestionCreate) -> None:
    """Raise InvalidError with every field that no question can have."""
    fields: dict[str, list[str]] = {}
    for name, message in _problems(new):
        fields.setdefault(name, []).append(message)
    if fields:
        raise InvalidError(fields)


def _problems(new: QuestionCreate) -> Iterable[tuple[str, str]]:
    yield from _text_problems("question", new.question, LONGEST_QUESTION, least=1)
    yield from _text_problems("subject", new.subject, LONGEST_SUBJECT)
    if len(bytes(new.payload)) > PAYLOAD_LIMIT_BYTES:
        yield "payload", f"Must have at most {PAYLOAD_LIMIT_BYTES} bytes as JSON."
    if not 1 <= len(new.answers) <= MOST_ANSWERS or len(set(new.answers)) < len(new.answers):
        yield "answers", f"Must be 1 to {MOST_ANSWERS} different texts."
    for n, answer in enumerate(new.answers[:MOST_ANSWERS]):
        yield from _text_problems(f"answers.{n}", answer, LONGEST_ANSWER, least=1)
    if not 1 <= new.quorum <= MOST_QUORUM:
        yield "quorum", f"Must be 1 to {MOST_QUORUM}."
    for name, audience in (("", new.audience), ("escalate_to.", new.escalation)):
        if audience is not None:
            yield from _audience_problems(name, audience)
    if new.audience.user_ids and new.quorum > len(new.audience.user_ids) and new.escalation is None:
        yield "quorum", "Must not be greater than the number of users that may answer."
    yield from _time_problems(new)


def _time_problems(new: QuestionCreate) -> Iterable[tuple[str, str]]:
    if new.timeout is not None and not timedelta(0) < new.timeout <= LONGEST_WAIT:
        yield "timeout_seconds", f"Must be more than 0 and at most {LONGEST_WAIT.days} days."
    if new.default_answer is not None:
        if new.default_answer not in new.answers:
            yield "default", "Must be one of the answers."
        if new.timeout is None:
            yield "default", "Needs timeout_seconds: it is taken when the time has passed."
    if (new.escalate_after is None) != (new.escalation is None):
        yield "escalate_to", "Is needed where, and only where, escalate_after_seconds is given."
    if new.escalate_after is not None:
        most = LONGEST_WAIT if new.timeout is None else new.timeout
        if not timedelta(0) < new.escalate_after <= most:
            yield "escalate_after_seconds", "Must be more than 0, and not after the time to answer."
    if new.quorum > 1 and new.timeout is None:
        yield "timeout_seconds", "Is needed with a quorum: people may not agree."


def _audience_problems(prefix: str, audience: Audience) -> Iterable[tuple[str, str]]:
    if audience.role not in ROLES:
        yield f"{prefix}role", f"Must be one of: {', '.join(ROLES)}."
    ids = audience.user_ids
    if len(ids) > MOST_USERS or len(set(ids)) < len(ids):
        yield f"{prefix}user_ids", f"Must be at most {MOST_USERS} different ids."
    for n, one in enumerate(ids[:MOST_USERS]):
        yield from _text_problems(f"{prefix}user_ids.{n}", one, _LONGEST_USER, least=1)


def _text_problems(name: str, text: str, most: int, *, least: int = 0) -> Iterable[tuple[str, str]]:
    if not least <= len(text) <= most:
        yield name, f"Must have {least} to {most} characters."
    if "\0" in text:
        yield name, "Must not hold the character NUL."
