"""What agents asked of other workers, and the answers; every call belongs to the caller's transaction."""

from collections.abc import Mapping, Sequence

import msgspec

from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """An agent and those who follow it."""

    job_id: str
    tenant_id: str
    worker_id: str
    kind: str
    subject_id: str
    round: int
    waiting: int
    state: msgspec.Raw | None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked of another worker; `answer` is JSON text once there is one."""

    place: int
    call_id: str
    worker: str
    tool_job_id: str | None
    answer: msgspec.Raw | None


class AgentJob(msgspec.Struct, frozen=True, kw_only=True):
    """What the next job of an agent takes over from the one that asked."""

    input: bytes
    trigger: Trigger
    priority: int
    triggered_by: str
    ancestry: Sequence[str]


_COLUMNS = "job_id, tenant_id, worker_id, kind, subject_id, round, waiting, state"


async def find_config(db: PoolConnection, worker_id: str) -> Mapping[str, msgspec.Raw]:
    """Return the configuration of a worker, by key."""
    config = await db.fetchval("SELECT config FROM workers WHERE id = $1", worker_id)
    return {} if config is None else msgspec.json.decode(config, type=dict[str, msgspec.Raw])


async def find_workers(db: PoolConnection, tenant_id: str, names: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of the tenant's active workers by name, the newest of each, and by id."""
    rows = await db.fetch(
        "SELECT id, name FROM workers WHERE tenant_id = $1 AND status = 'active'"
        " AND (name = ANY ($2) OR id = ANY ($2)) ORDER BY id",
        tenant_id,
        list(names),
    )
    return {row["name"]: row["id"] for row in rows} | {row["id"]: row["id"] for row in rows}


async def find_agent_job(db: PoolConnection, conversation: Conversation) -> AgentJob:
    """Return what was asked of the agent."""
    row = await db.fetchrow(
        "SELECT j.input, j.trigger, j.priority, j.triggered_by, a.path FROM jobs j"
        " LEFT JOIN job_ancestry a ON a.job_id = j.id WHERE j.tenant_id = $1 AND j.id = $2",
        conversation.tenant_id,
        conversation.job_id,
    )
    assert row is not None  # noqa: S101  jobs outlive whoever follows them
    return AgentJob(
        input=bytes(row["input"]),
        trigger=Trigger(row["trigger"]),
        priority=row["priority"],
        triggered_by=row["triggered_by"],
        ancestry=row["path"] or (),
    )


async def find_round(db: PoolConnection, job_id: str) -> int:
    """Return how often the agent whose job this is has asked before."""
    return await db.fetchval("SELECT round FROM conversations WHERE job_id = $1", job_id) or 0


async def write_conversation(db: PoolConnection, asked: Conversation, calls: Sequence[Call]) -> None:
    """Write down what a job asked for."""
    await db.execute(
        f"INSERT INTO conversations ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (job_id) DO UPDATE SET round = excluded.round, waiting = excluded.waiting,"
        " state = excluded.state",
        *(asked.job_id, asked.tenant_id, asked.worker_id, asked.kind, asked.subject_id),
        *(asked.round, asked.waiting, None if asked.state is None else bytes(asked.state)),
    )
    await db.executemany(
        "INSERT INTO conversation_calls (job_id, place, call_id, worker, tool_job_id, answer)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (
                asked.job_id,
                one.place,
                one.call_id,
                one.worker,
                one.tool_job_id,
                one.answer and bytes(one.answer),
            )
            for one in calls
        ],
    )


async def answer_call(
    db: PoolConnection, job_id: str, place: int, answer: msgspec.Raw
) -> Conversation | None:
    """Write an answer down, once; returns the conversation as it is then, None where it is over."""
    answered = await db.fetchval(
        "UPDATE conversation_calls SET answer = $3 WHERE job_id = $1 AND place = $2 AND answer IS NULL"
        " RETURNING true",
        job_id,
        place,
        bytes(answer),
    )
    if not answered:
        return None
    row = await db.fetchrow(
        f"UPDATE conversations SET waiting = waiting - 1 WHERE job_id = $1 RETURNING {_COLUMNS}", job_id
    )
    return None if row is None else Conversation(**row)


async def take_calls(db: PoolConnection, job_id: str) -> Sequence[Call]:
    """Remove and return what a job asked for, in its order."""
    rows = await db.fetch(
        "DELETE FROM conversation_calls WHERE job_id = $1"
        " RETURNING place, call_id, worker, tool_job_id, answer",
        job_id,
    )
    return sorted((Call(**row) for row in rows), key=lambda one: one.place)


async def hand_over(db: PoolConnection, job_id: str, next_id: str) -> None:
    """Let the conversation go on with the agent's next job."""
    await db.execute(
        "UPDATE conversations SET job_id = $2, waiting = 0, state = NULL WHERE job_id = $1", job_id, next_id
    )


async def forget_conversations(db: PoolConnection, job_ids: Sequence[str]) -> None:
    """Delete the conversations of agents that have ended."""
    await db.execute("DELETE FROM conversations WHERE job_id = ANY ($1::text[])", list(job_ids))


async def end_conversation(db: PoolConnection, kind: str, subject_id: str) -> Sequence[str]:
    """Give up what somebody's agent is about; returns the ids of the jobs that may still run for it."""
    rows = await db.fetch(
        """
        WITH gone AS (DELETE FROM conversations WHERE kind = $1 AND subject_id = $2 RETURNING job_id),
        calls AS (DELETE FROM conversation_calls WHERE job_id IN (SELECT job_id FROM gone)
                  RETURNING tool_job_id, answer)
        SELECT job_id FROM gone UNION ALL
        SELECT tool_job_id FROM calls WHERE answer IS NULL AND tool_job_id IS NOT NULL
        """,
        kind,
        subject_id,
    )
    return [row[0] for row in rows]
