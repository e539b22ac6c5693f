"""SQL of questions and votes. Every change expects a question that waits, so the first end stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.ids import JobId, QuestionId, new_id
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.events.event_sql import append_sql
from runwright.questions.model import (
    PREFIX,
    Question,
    QuestionCreate,
    QuestionStatus,
    Vote,
)

_COLUMNS: Final = column_list(Question)
_VOTE_COLUMNS: Final = column_list(Vote)
_DATA: Final = """json_build_object(
    'question_id', id, 'status', status, 'asked_by', asked_by, 'subject', subject, 'question', question,
    'job_id', job_id, 'answer', answer, 'answered_by', answered_by, 'note', note,
    'timed_out', status = 'timed_out')"""


def _events_sql(source: str, type: str) -> str:
    return append_sql(f"SELECT tenant_id, {type}, id, $1::timestamptz, {_DATA} FROM {source}")


_REPORT: Final = f"""
WITH asked AS (SELECT * FROM questions WHERE id = $2), {_events_sql("asked", "'question.asked'")}
SELECT count(*) FROM event
"""
_END: Final = f"""
WITH ended AS (
    -- the question, if it waits
    UPDATE questions SET status = $3, answer = $4, answered_by = $5, note = $6, ended_at = $1
    WHERE id = $2 AND status = 'waiting' RETURNING *
), {_events_sql("ended", "'question.' || status")}
SELECT {_COLUMNS} FROM ended
"""
_TIME_OUT: Final = f"""
WITH ended AS (
    -- those whose time has passed
    UPDATE questions SET status = 'timed_out', answer = default_answer, ended_at = $1
    WHERE id = ANY (ARRAY(
        SELECT id FROM questions WHERE status = 'waiting' AND deadline <= $1
        ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED
    )) AND status = 'waiting' RETURNING *
), {_events_sql("ended", "'question.timed_out'")}
SELECT {_COLUMNS} FROM ended
"""
_ESCALATE: Final = f"""
WITH escalated AS (
    -- those that have waited for too long
    UPDATE questions SET escalated_at = $1
    WHERE id = ANY (ARRAY(
        SELECT id FROM questions WHERE status = 'waiting' AND escalated_at IS NULL AND escalate_at <= $1
        ORDER BY escalate_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) AND status = 'waiting' RETURNING *
), {_events_sql("escalated", "'question.escalated'")}
SELECT count(*) FROM escalated
"""


async def insert_question(
    db: PoolConnection,
    tenant_id: str,
    new: QuestionCreate,
    now: datetime,
    question_id: QuestionId | None = None,
) -> Question:
    """Insert a question with its event, in the caller's transaction."""
    question = Question(
        id=question_id or QuestionId(new_id(PREFIX, now)),
        tenant_id=tenant_id,
        kind=new.kind,
        asked_by=new.asked_by,
        subject=new.subject,
        question=new.question,
        payload=new.payload,
        answers=new.answers,
        job_id=new.job_id,
        reference=new.reference,
        audience=new.audience,
        escalation=new.escalation,
        barred=new.barred,
        quorum=new.quorum,
        sensitive=new.sensitive,
        deadline=None if new.timeout is None else now + new.timeout,
        default_answer=new.default_answer,
        escalate_at=None if new.escalate_after is None else now + new.escalate_after,
        status=QuestionStatus.WAITING,
        asked_at=now,
    )
    audiences = {
        name: None if value is None else msgspec.json.encode(value)
        for name, value in (("audience", new.audience), ("escalation", new.escalation))
    }
    await insert_row(db, "questions", row_of(question) | audiences)
    await db.execute(_REPORT, now, question.id)
    return question


async def fetch_question(
    db: Database | PoolConnection, tenant_id: str, question_id: QuestionId, *, lock: bool = False
) -> Question | None:
    """Return a question of the tenant; `lock` holds its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM questions WHERE tenant_id = $1 AND id = $2"
        + (" FOR UPDATE" if lock else ""),
        tenant_id,
        question_id,
    )
    return None if row is None else struct_from_row(Question, row)


async def list_questions(
    db: Database, tenant_id: str, *, ended: bool, older_than: str | None, limit: int
) -> Sequence[Question]:
    """Return up to `limit` questions that wait, or have ended, newest first."""
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS} FROM questions
        WHERE tenant_id = $1 AND status {"<>" if ended else "="} 'waiting' AND ($2::text IS NULL OR id < $2)
        ORDER BY id DESC LIMIT $3
        """,
        tenant_id,
        older_than,
        limit,
    )
    return [struct_from_row(Question, row) for row in rows]


async def count_waiting(db: Database | PoolConnection, tenant_id: str, *, bound: int) -> int:
    """Return how many questions wait, at most `bound`."""
    count: int = await db.fetchval(
        """
        SELECT count(*) FROM (
            SELECT FROM questions WHERE tenant_id = $1 AND status = 'waiting' LIMIT $2
        ) AS bounded
        """,
        tenant_id,
        bound,
    )
    return count


async def insert_vote(db: PoolConnection, vote: Vote) -> bool:
    """Insert what a person answers; False where this person has answered before."""
    return await insert_row(db, "question_votes", row_of(vote), "ON CONFLICT DO NOTHING")


async def fetch_votes(db: Database | PoolConnection, question_ids: Sequence[str]) -> Sequence[Vote]:
    """Return what people have answered, in the order of their answers."""
    rows = await db.fetch(
        f"SELECT {_VOTE_COLUMNS} FROM question_votes WHERE question_id = ANY ($1) ORDER BY at, voter",
        list(question_ids),
    )
    return [struct_from_row(Vote, row) for row in rows]


async def end_question(
    db: PoolConnection,
    question_id: QuestionId,
    status: QuestionStatus,
    *,
    now: datetime,
    vote: Vote | None = None,
    answer: str | None = None,
) -> Question | None:
    """End a question that waits, with its event; None for one that has ended."""
    row = await db.fetchrow(
        _END,
        *(now, question_id, status, answer if vote is None else vote.answer),
        *(None if vote is None else vote.user_id, None if vote is None else vote.note),
    )
    return None if row is None else struct_from_row(Question, row)


async def time_out_questions(db: PoolConnection, *, now: datetime, limit: int) -> Sequence[Question]:
    """End up to `limit` questions whose deadline has passed, with their events; return them."""
    return [struct_from_row(Question, row) for row in await db.fetch(_TIME_OUT, now, limit)]


async def escalate_questions(db: Database, *, now: datetime, limit: int) -> int:
    """Escalate up to `limit` questions that are due for it, with their events; return how many."""
    count: int = await db.fetchval(_ESCALATE, now, limit)
    return count


async def next_due_at(db: Database) -> datetime | None:
    """Return when the next question times out or is escalated."""
    at: datetime | None = await db.fetchval(
        "SELECT least((SELECT min(deadline) FROM questions WHERE status = 'waiting'),"
        " (SELECT min(escalate_at) FROM questions WHERE status = 'waiting' AND escalated_at IS NULL))"
    )
    return at


async def questions_of_job(db: PoolConnection, tenant_id: str, job_id: JobId) -> Sequence[QuestionId]:
    """Lock the questions about a job that wait, and return their ids."""
    rows = await db.fetch(
        "SELECT id FROM questions WHERE job_id = $2 AND tenant_id = $1 AND status = 'waiting'"
        " ORDER BY id FOR UPDATE",
        tenant_id,
        job_id,
    )
    return [QuestionId(row["id"]) for row in rows]


async def prune_questions(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` questions that ended before a time, with their votes; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM questions WHERE id = ANY (ARRAY(
            SELECT id FROM questions WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        before,
        limit,
    )
    return len(rows)
