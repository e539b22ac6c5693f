"""Asking people and taking their answers.

The functions work in the caller's transaction, so that a step parks and its question opens together;
`Questions` is what callers of the API use. Whatever ends a question calls the handler of its kind in the
transaction that ends it, with the question's row locked: a handler that locks other rows of its own (a job's)
must be prepared for those who lock them before they withdraw the question.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError, QuotaError
from runwright.core.ids import JobId, QuestionId, is_id, new_id
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.questions import store
from runwright.questions.model import (
    LONGEST_NOTE,
    MOST_WAITING,
    PREFIX,
    Person,
    Question,
    QuestionCreate,
    QuestionStatus,
    Vote,
    check_question,
    person_of,
)
from runwright.tenants.audit import record
from runwright.tenants.idempotency import Idempotency, reserve_key

EndHandler = Callable[[PoolConnection, Question, datetime], Awaitable[None]]
"""Called with a question that has just ended, in the transaction that ends it."""

_BATCH: Final = 100


async def open_question(
    db: PoolConnection,
    tenant_id: str,
    new: QuestionCreate,
    now: datetime,
    question_id: QuestionId | None = None,
) -> Question:
    """Ask a question in the caller's transaction. InvalidError; QuotaError where too many wait."""
    check_question(new)
    waiting = await store.count_waiting(db, tenant_id, bound=MOST_WAITING)
    if waiting >= MOST_WAITING:
        raise QuotaError("questions", MOST_WAITING, waiting)
    return await store.insert_question(db, tenant_id, new, now, question_id)


async def withdraw_of_job(db: PoolConnection, tenant_id: str, job_id: JobId, now: datetime) -> int:
    """Withdraw the questions about a job that wait, without calling handlers; return how many."""
    ids = await store.questions_of_job(db, tenant_id, job_id)
    for one in ids:
        await store.end_question(db, one, QuestionStatus.WITHDRAWN, now=now)
    return len(ids)


class Answered(msgspec.Struct, frozen=True):
    """A question with what people have answered so far."""

    question: Question
    votes: Sequence[Vote]


class Questions:
    """The questions of all tenants. Methods return after their changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        endings: Mapping[str, EndHandler] | None = None,
        on_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`endings` by kind; `on_changed` is called when events may wait for the router."""
        self._db = db
        self._clock = clock
        self._endings = endings or {}
        self._on_changed = on_changed

    async def ask(
        self, caller: Caller, new: QuestionCreate, idempotency: Idempotency | None = None
    ) -> tuple[Answered, bool]:
        """Ask a question; return it, and whether an earlier request with the same key had asked it."""
        check_question(new)
        now = self._clock()
        question_id = QuestionId(new_id(PREFIX, now))
        async with self._db.acquire() as db, db.transaction():
            if idempotency is not None:
                prior = await reserve_key(
                    db, idempotency, tenant_id=caller.tenant_id, ids=[question_id], now=now
                )
                if prior is not None:
                    return await self._read(caller.tenant_id, QuestionId(prior[0]), db), True
            question = await open_question(db, caller.tenant_id, new, now, question_id)
            await record(db, caller, "question.ask", question.id, after=question, now=now)
        self._on_changed()
        return Answered(question, ()), False

    async def get(self, tenant_id: str, question_id: QuestionId) -> Answered:
        """Return a question. NotFoundError."""
        return await self._read(tenant_id, question_id, self._db)

    async def list(
        self, tenant_id: str, *, ended: bool, older_than: str | None, limit: int
    ) -> Sequence[Answered]:
        """Return up to `limit` questions, newest first."""
        found = await store.list_questions(
            self._db, tenant_id, ended=ended, older_than=older_than, limit=limit
        )
        votes: dict[str, list[Vote]] = {}
        for vote in await store.fetch_votes(self._db, [one.id for one in found]) if found else ():
            votes.setdefault(vote.question_id, []).append(vote)
        return [Answered(one, votes.get(one.id, ())) for one in found]

    async def count(self, tenant_id: str, *, bound: int) -> int:
        """Return how many questions wait, at most `bound`."""
        return await store.count_waiting(self._db, tenant_id, bound=bound)

    async def answer(
        self, caller: Caller, question_id: QuestionId, answer: str, note: str | None
    ) -> Answered:
        """Take a caller's answer; the same one again is a repetition.

        NotFoundError, InvalidError, ForbiddenError; ConflictError with the outcome where it has ended.
        """
        person = person_of(caller)
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            conflict = await self.answer_in(
                db, caller, person, question_id, answer=answer, note=note, now=now
            )
        self._on_changed()
        if conflict is not None:
            raise conflict
        return await self.get(caller.tenant_id, question_id)

    async def answer_in(
        self,
        db: PoolConnection,
        caller: Caller,
        person: Person,
        question_id: QuestionId,
        *,
        answer: str,
        note: str | None,
        now: datetime,
    ) -> ConflictError | None:
        """Take a person's answer in the caller's transaction, with its audit row.

        Returns why it came too late, which is not raised: a deadline that it finds passed is to be committed.
        """
        question = await store.fetch_question(db, caller.tenant_id, question_id, lock=True)
        if question is None:
            raise _no_question(question_id)
        if question.status is QuestionStatus.WAITING:
            question.require_audience(person.role, person.names)
            _check_answer(question, answer, note)
            if question.deadline is not None and question.deadline <= now:
                question = await self._end(
                    db, question, QuestionStatus.TIMED_OUT, now, answer=question.default_answer
                )
        vote = Vote(
            question_id=question.id,
            voter=person.voter,
            user_id=person.user_id,
            answer=answer,
            note=note,
            at=now,
        )
        votes = await store.fetch_votes(db, [question.id])
        prior = next((one for one in votes if one.voter == person.voter), None)
        if prior is not None:
            if (prior.answer, prior.note, prior.user_id) == (answer, note, person.user_id):
                return None
            ended = question.status is not QuestionStatus.WAITING
            return ConflictError(
                question.outcome() if ended else f"You have answered already: {prior.answer}."
            )
        if question.status is not QuestionStatus.WAITING:
            return ConflictError(question.outcome())
        await store.insert_vote(db, vote)
        await record(db, caller, "question.answer", question.id, after=vote, now=now)
        if sum(one.answer == answer for one in votes) + 1 >= question.quorum:
            await self._end(db, question, QuestionStatus.ANSWERED, now, vote=vote)
        return None

    async def withdraw(self, caller: Caller, question_id: QuestionId) -> Answered:
        """End a question without an answer. NotFoundError; ConflictError where it has ended."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            question = await store.fetch_question(db, caller.tenant_id, question_id, lock=True)
            if question is None:
                raise _no_question(question_id)
            if question.status is not QuestionStatus.WAITING:
                raise ConflictError(question.outcome())
            ended = await self._end(db, question, QuestionStatus.WITHDRAWN, now)
            await record(db, caller, "question.withdraw", question_id, before=question, after=ended, now=now)
        self._on_changed()
        return await self.get(caller.tenant_id, question_id)

    async def end_due(self, limit: int = _BATCH) -> int:
        """End up to `limit` questions whose deadline has passed; return how many."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            ended = await store.time_out_questions(db, now=now, limit=limit)
            for question in ended:
                await self._call_handler(db, question, now)
        if ended:
            self._on_changed()
        return len(ended)

    async def escalate_due(self, limit: int = _BATCH) -> int:
        """Escalate up to `limit` questions that have waited for too long; return how many."""
        count = await store.escalate_questions(self._db, now=self._clock(), limit=limit)
        if count:
            self._on_changed()
        return count

    async def next_due_at(self) -> datetime | None:
        """Return when there is something to do again."""
        return await store.next_due_at(self._db)

    async def _read(self, tenant_id: str, question_id: QuestionId, db: Database | PoolConnection) -> Answered:
        found = await store.fetch_question(db, tenant_id, question_id) if is_id(PREFIX, question_id) else None
        if found is None:
            raise _no_question(question_id)
        return Answered(found, await store.fetch_votes(db, [found.id]))

    async def _end(
        self,
        db: PoolConnection,
        question: Question,
        status: QuestionStatus,
        now: datetime,
        *,
        vote: Vote | None = None,
        answer: str | None = None,
    ) -> Question:
        ended = await store.end_question(db, question.id, status, now=now, vote=vote, answer=answer)
        if ended is None:
            raise ConflictError("The question has ended.")
        await self._call_handler(db, ended, now)
        return ended

    async def _call_handler(self, db: PoolConnection, question: Question, now: datetime) -> None:
        handler = self._endings.get(question.kind)
        if handler is not None:
            await handler(db, question, now)


def _check_answer(question: Question, answer: str, note: str | None) -> None:
    if answer not in question.answers:
        raise InvalidError({"answer": [f"Must be one of: {', '.join(question.answers)}."]})
    if note is not None and len(note) > LONGEST_NOTE:
        raise InvalidError({"note": [f"Must have at most {LONGEST_NOTE} characters."]})


def _no_question(question_id: QuestionId) -> NotFoundError:
    return NotFoundError(f"There is no question {question_id}.")
