"""The SQL of tool calls: turns of agents and their calls. Every function is part of a transaction."""

from collections.abc import Mapping, Sequence

import msgspec

from runwright.core.job_state import Trigger
from runwright.db.pool import PoolConnection


class AgentTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One job of an agent and its calls; `kind` and `subject_id` name the callback of its end."""

    job_id: str
    tenant_id: str
    worker_id: str
    kind: str
    subject_id: str
    round: int
    waiting: int
    state: msgspec.Raw | None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of another worker; `answer` is JSON text of how it ended, once it has."""

    place: int
    call_id: str
    worker: str
    tool_job_id: str | None
    answer: msgspec.Raw | None


class AgentJob(msgspec.Struct, frozen=True, kw_only=True):
    """What the next job of an agent takes over from the previous call."""

    input: bytes
    trigger: Trigger
    priority: int
    triggered_by: str
    ancestry: Sequence[str]


_COLUMNS = "job_id, tenant_id, worker_id, kind, subject_id, round, waiting, state"


async def fetch_config(db: PoolConnection, worker_id: str) -> Mapping[str, msgspec.Raw]:
    """Return the configuration of a worker, by key."""
    config = await db.fetchval("SELECT config FROM workers WHERE id = $1", worker_id)
    return {} if config is None else msgspec.json.decode(config, type=dict[str, msgspec.Raw])


async def fetch_tools(db: PoolConnection, tenant_id: str, names: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of the tenant's active workers by name, the newest of each, and by id."""
    rows = await db.fetch(
        "SELECT id, name FROM workers WHERE tenant_id = $1 AND status = 'active'"
        " AND (name = ANY ($2) OR id = ANY ($2)) ORDER BY id",
        tenant_id,
        list(names),
    )
    return {row["name"]: row["id"] for row in rows} | {row["id"]: row["id"] for row in rows}


async def fetch_agent_job(db: PoolConnection, turn: AgentTurn) -> AgentJob:
    """Return the first input of the agent, and how its jobs are submitted."""
    row = await db.fetchrow(
        "SELECT j.input, j.trigger, j.priority, j.triggered_by, a.path FROM jobs j"
        " LEFT JOIN job_ancestry a ON a.job_id = j.id WHERE j.tenant_id = $1 AND j.id = $2",
        turn.tenant_id,
        turn.job_id,
    )
    assert row is not None  # noqa: S101  jobs outlive their callbacks
    return AgentJob(
        input=bytes(row["input"]),
        trigger=Trigger(row["trigger"]),
        priority=row["priority"],
        triggered_by=row["triggered_by"],
        ancestry=row["path"] or (),
    )


async def fetch_round(db: PoolConnection, job_id: str) -> int:
    """Return how many turns the agent whose job this is has had before."""
    return await db.fetchval("SELECT round FROM agent_turns WHERE job_id = $1", job_id) or 0


async def insert_turn(db: PoolConnection, turn: AgentTurn, calls: Sequence[ToolCall]) -> None:
    """Insert the calls that a job has requested."""
    await db.execute(
        f"INSERT INTO agent_turns ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (job_id) DO UPDATE SET round = excluded.round, waiting = excluded.waiting,"
        " state = excluded.state",
        *(turn.job_id, turn.tenant_id, turn.worker_id, turn.kind, turn.subject_id),
        *(turn.round, turn.waiting, None if turn.state is None else bytes(turn.state)),
    )
    await db.executemany(
        "INSERT INTO tool_calls (job_id, place, call_id, worker, tool_job_id, answer)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (
                turn.job_id,
                call.place,
                call.call_id,
                call.worker,
                call.tool_job_id,
                call.answer and bytes(call.answer),
            )
            for call in calls
        ],
    )


async def record_result(
    db: PoolConnection, *, job_id: str, place: int, answer: msgspec.Raw
) -> AgentTurn | None:
    """Record how a call ended, once; return the turn as it is now, None where it was abandoned."""
    answered = await db.fetchval(
        "UPDATE tool_calls SET answer = $3 WHERE job_id = $1 AND place = $2 AND answer IS NULL"
        " RETURNING true",
        job_id,
        place,
        bytes(answer),
    )
    if not answered:
        return None
    row = await db.fetchrow(
        f"UPDATE agent_turns SET waiting = waiting - 1 WHERE job_id = $1 RETURNING {_COLUMNS}", job_id
    )
    return None if row is None else AgentTurn(**row)


async def take_calls(db: PoolConnection, job_id: str) -> Sequence[ToolCall]:
    """Delete and return the calls of a job, in their order."""
    rows = await db.fetch(
        "DELETE FROM tool_calls WHERE job_id = $1 RETURNING place, call_id, worker, tool_job_id, answer",
        job_id,
    )
    return sorted((ToolCall(**row) for row in rows), key=lambda call: call.place)


async def continue_turn(db: PoolConnection, *, job_id: str, next_job_id: str) -> None:
    """Continue with the agent's next job."""
    await db.execute(
        "UPDATE agent_turns SET job_id = $2, waiting = 0, state = NULL WHERE job_id = $1",
        job_id,
        next_job_id,
    )


async def delete_turns(db: PoolConnection, job_ids: Sequence[str]) -> None:
    """Delete the turns of agents that have ended."""
    await db.execute("DELETE FROM agent_turns WHERE job_id = ANY ($1::text[])", list(job_ids))


async def abandon_turns(db: PoolConnection, *, kind: str, subject_id: str) -> Sequence[str]:
    """Delete the turns that run for a subject; return the ids of their jobs, which may still run."""
    rows = await db.fetch(
        """
        WITH gone AS (DELETE FROM agent_turns WHERE kind = $1 AND subject_id = $2 RETURNING job_id),
        calls AS (DELETE FROM tool_calls WHERE job_id IN (SELECT job_id FROM gone)
                  RETURNING tool_job_id, answer)
        SELECT job_id FROM gone UNION ALL
        SELECT tool_job_id FROM calls WHERE answer IS NULL AND tool_job_id IS NOT NULL
        """,
        kind,
        subject_id,
    )
    return [row[0] for row in rows]
