"""Ends questions that were not answered in time, and escalates those that wait for too long."""

from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.loops.pass_loop import DatabaseLoop
from runwright.questions.service import Questions
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.agents import QuestionsEscalated, QuestionsTimedOut

BATCH: Final = 100
LOOK_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.1
"""Also while a question is overdue because another transaction holds its row."""


class QuestionDeadlines(DatabaseLoop):
    """Looks once a second, and when the next one is due. Any number may run."""

    def __init__(self, db: Database, questions: Questions, *, clock: Clock, emit: Emit) -> None:
        super().__init__("question deadlines", db, clock=clock, emit=emit)
        self._questions = questions

    async def _make_pass(self) -> float:
        late = await self._questions.end_due(BATCH)
        escalated = await self._questions.escalate_due(BATCH)
        if late:
            self._emit(QuestionsTimedOut(count=late))
        if escalated:
            self._emit(QuestionsEscalated(count=escalated))
        if BATCH in {late, escalated}:
            return 0.0
        due = await self._questions.next_due_at()
        wait = LOOK_SECONDS if due is None else (due - self._clock()).total_seconds()
        return min(max(wait, _LEAST_SECONDS), LOOK_SECONDS)
