"""Questions that programs and steps have asked."""

from collections.abc import Sequence

from runwright.core.ids import ItemId, QuestionId
from runwright.core.roles import Caller
from runwright.inbox.model import InboxAnswer, InboxItem, InboxStatus, InboxTerms
from runwright.questions.model import PREFIX, Question
from runwright.questions.service import Answered, Questions


class AskedQuestions:
    """The source of questions that were asked as such."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    async def page(
        self, tenant_id: str, *, answered: bool, older_than: str | None, limit: int
    ) -> Sequence[InboxItem]:
        """Return questions, newest first."""
        before = None if older_than is None else f"{PREFIX}_{older_than}"
        found = await self._questions.list(tenant_id, ended=answered, older_than=before, limit=limit)
        return [item_of(one) for one in found]

    async def count(self, tenant_id: str, *, bound: int) -> int:
        """Return how many questions wait."""
        return await self._questions.count(tenant_id, bound=bound)

    async def get(self, tenant_id: str, item_id: ItemId) -> InboxItem:
        """Return one question. NotFoundError."""
        return item_of(await self._questions.get(tenant_id, QuestionId(item_id)))

    async def answer(self, caller: Caller, item_id: ItemId, answer: str, note: str | None) -> InboxItem:
        """Answer a question. NotFoundError, InvalidError, ForbiddenError, ConflictError."""
        return item_of(await self._questions.answer(caller, QuestionId(item_id), answer, note))

    async def withdraw(self, caller: Caller, item_id: ItemId) -> InboxItem:
        """End a question without an answer. NotFoundError, ConflictError."""
        return item_of(await self._questions.withdraw(caller, QuestionId(item_id)))


def item_of(answered: Answered) -> InboxItem:
    """Return a question as the inbox shows it."""
    question = answered.question
    return InboxItem(
        id=question.id,
        kind=question.kind,
        status=InboxStatus(question.status),
        asked_by=question.asked_by,
        subject=question.subject,
        question=question.question,
        answers=question.answers,
        payload=question.payload,
        asked_at=question.asked_at,
        ended_at=question.ended_at,
        job_id=question.job_id,
        answer=_outcome(question),
        given=tuple(
            InboxAnswer(answer=one.answer, note=one.note, by=one.user_id, at=one.at) for one in answered.votes
        ),
        terms=InboxTerms(
            role=question.audience.role,
            user_ids=question.audience.user_ids,
            quorum=question.quorum,
            four_eyes=bool(question.barred),
            sensitive=question.sensitive,
            deadline=question.deadline,
            default=question.default_answer,
            escalate_at=question.escalate_at,
            escalated_at=question.escalated_at,
        ),
    )


def _outcome(question: Question) -> InboxAnswer | None:
    if question.answer is None or question.ended_at is None:
        return None
    return InboxAnswer(
        answer=question.answer,
        note=question.note,
        by=question.answered_by,
        at=question.ended_at,
        timed_out=question.timed_out,
    )
