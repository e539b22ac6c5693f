"""What ends a question, and that its handler is called once, in the same transaction."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from runwright.core.errors import ConflictError, ForbiddenError, QuotaError
from runwright.core.ids import JobId
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool, PoolConnection
from runwright.loops.question_deadlines import QuestionDeadlines
from runwright.questions import service as questions_service
from runwright.questions.model import Audience, Question, QuestionCreate, QuestionStatus
from runwright.questions.service import Questions, open_question, withdraw_of_job
from runwright.questions.store import prune_questions

TENANT = "ten_questions"


class Asking:
    """The questions of a tenant, a clock, and what the handler was called with."""

    def __init__(self, db: Pool) -> None:
        self.db = db
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.ended: list[Question] = []
        self.fails = False
        self.questions = Questions(db, clock=lambda: self.now, endings={"step": self._end})

    async def _end(self, _: PoolConnection, question: Question, __: datetime) -> None:
        if self.fails:
            raise RuntimeError("The handler fails.")
        self.ended.append(question)

    async def open(self, **fields: object) -> Question:
        new = QuestionCreate(question="Refund?", asked_by="w", kind="step", **fields)  # type: ignore[arg-type]
        async with self.db.acquire() as db, db.transaction():
            return await open_question(db, TENANT, new, self.now)

    async def status(self, question: Question) -> QuestionStatus:
        return (await self.questions.get(TENANT, question.id)).question.status


def person(user: str, role: Role = Role.TENANT_ADMIN) -> Caller:
    return Caller(TENANT, user, role, "platform", by_platform=True)


@pytest.fixture
def asking(database: Pool) -> Asking:
    return Asking(database)


async def test_the_handler_gets_the_answer(asking: Asking) -> None:
    question = await asking.open(reference="page#2")
    await asking.questions.answer(person("ada"), question.id, "approve", "Fine.")
    [ended] = asking.ended
    assert (ended.answer, ended.answered_by, ended.note, ended.reference) == (
        "approve",
        "ada",
        "Fine.",
        "page#2",
    )
    assert ended.status is QuestionStatus.ANSWERED


async def test_an_answer_whose_handler_fails_was_not_given(asking: Asking) -> None:
    question = await asking.open()
    asking.fails = True
    with pytest.raises(RuntimeError):
        await asking.questions.answer(person("ada"), question.id, "approve", None)
    found = await asking.questions.get(TENANT, question.id)
    assert (found.question.status, list(found.votes)) == (QuestionStatus.WAITING, [])
    audited = await asking.db.fetchval("SELECT count(*) FROM audit_log WHERE subject_id = $1", question.id)
    assert audited == 0


async def test_of_many_who_answer_at_once_one_does(asking: Asking) -> None:
    question = await asking.open()
    given = await asyncio.gather(
        *(
            asking.questions.answer(person(f"user{n}"), question.id, ("approve", "reject")[n % 2], None)
            for n in range(12)
        ),
        return_exceptions=True,
    )
    refused = [one for one in given if isinstance(one, ConflictError)]
    assert (len(refused), len(given) - len(refused), len(asking.ended)) == (11, 1, 1)
    assert {one.message for one in refused} == {asking.ended[0].outcome()}


async def test_the_deadline_takes_the_default_and_a_late_answer_is_refused(asking: Asking) -> None:
    question = await asking.open(timeout=timedelta(minutes=5), default_answer="reject")
    assert await asking.questions.end_due() == 0
    asking.now += timedelta(minutes=5)
    assert await asking.questions.end_due() == 1
    [ended] = asking.ended
    assert (ended.answer, ended.answered_by, ended.timed_out) == ("reject", None, True)
    with pytest.raises(ConflictError, match="took its default, reject"):
        await asking.questions.answer(person("ada"), question.id, "approve", None)
    assert (await asking.questions.end_due(), len(asking.ended)) == (0, 1)


async def test_an_answer_after_the_deadline_is_late_also_if_no_loop_has_looked(asking: Asking) -> None:
    question = await asking.open(timeout=timedelta(minutes=5))
    asking.now += timedelta(minutes=5)
    with pytest.raises(ConflictError, match="without a default"):
        await asking.questions.answer(person("ada"), question.id, "approve", None)
    assert await asking.status(question) is QuestionStatus.TIMED_OUT
    assert [one.answer for one in asking.ended] == [None]


async def test_the_escalation_adds_those_who_may_answer(asking: Asking) -> None:
    question = await asking.open(
        audience=Audience(user_ids=("ada",)),
        escalate_after=timedelta(hours=1),
        escalation=Audience(role="tenant-admin"),
    )
    with pytest.raises(ForbiddenError):
        await asking.questions.answer(person("bob"), question.id, "approve", None)
    asking.now += timedelta(hours=1)
    assert (await asking.questions.escalate_due(), await asking.questions.escalate_due()) == (1, 0)
    await asking.questions.answer(person("bob"), question.id, "approve", None)
    types = await asking.db.fetch(
        "SELECT type FROM events WHERE subject_id = $1 ORDER BY position", question.id
    )
    assert [row["type"] for row in types] == ["question.asked", "question.escalated", "question.answered"]


async def test_the_loop_ends_what_is_due(asking: Asking) -> None:
    question = await asking.open(timeout=timedelta(seconds=1))
    loop = QuestionDeadlines(asking.db, asking.questions, clock=lambda: asking.now, emit=lambda _: None)
    await loop.start()
    try:
        await loop.loop.reached(1)
        assert await asking.status(question) is QuestionStatus.WAITING
        asking.now += timedelta(seconds=1)
        loop.loop.wake()
        await loop.loop.reached(2)
        assert await asking.status(question) is QuestionStatus.TIMED_OUT
    finally:
        await loop.stop()


async def test_questions_of_a_job_are_withdrawn_with_it(asking: Asking) -> None:
    mine = await asking.open(job_id="job_1")
    other = await asking.open(job_id="job_2")
    async with asking.db.acquire() as db, db.transaction():
        assert await withdraw_of_job(db, TENANT, JobId("job_1"), asking.now) == 1
        assert await withdraw_of_job(db, "ten_other", JobId("job_2"), asking.now) == 0
    assert await asking.status(mine) is QuestionStatus.WITHDRAWN
    assert await asking.status(other) is QuestionStatus.WAITING


async def test_a_tenant_may_have_so_many_that_wait(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions_service, "MOST_WAITING", 2)
    for _ in range(2):
        await asking.open()
    with pytest.raises(QuotaError, match="questions is 2"):
        await asking.open()


async def test_ended_ones_are_pruned_and_waiting_ones_never(asking: Asking) -> None:
    ended, waiting = await asking.open(), await asking.open()
    await asking.questions.answer(person("ada"), ended.id, "approve", None)
    later = asking.now + timedelta(days=400)
    assert await prune_questions(asking.db, before=later, limit=10) == 1
    assert await asking.status(waiting) is QuestionStatus.WAITING
    assert await asking.db.fetchval("SELECT count(*) FROM question_votes") == 0
