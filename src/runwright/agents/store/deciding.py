"""The SQL that ends executions: decisions, failures, timeouts; and reviews of flagged ones.

Every statement expects certain states, so the first end stands. A decision and its `agent.action` event are
one statement; the ancestry of that event is the ancestry of the event that was decided on, and the agent.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.agents.model import ACTION_EVENT, Decision
from runwright.db.pool import Database, PoolConnection
from runwright.events.event_sql import append_sql, append_watched_sql


class NewDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision to record: on which execution, and by whom."""

    execution_id: str
    decision: Decision
    by: str


class ExecutionFailure(msgspec.Struct, frozen=True):
    """An execution to fail, and the reason."""

    execution_id: str
    error: str


def _append_action_sql(source: str, decider: str, reason: str, metadata: str) -> str:
    """Return the CTEs that append `agent.action` for each row of `source`.

    Reason and metadata are JSON that no operator looks into, because it may contain U+0000, which text in
    PostgreSQL cannot.
    """
    return append_sql(
        f"""SELECT d.tenant_id, '{ACTION_EVENT}', d.id, d.updated_at,
        json_build_object(
            'execution_id', d.id, 'agent_id', d.agent_id, 'agent', a.name, 'event', d.event_type,
            'action', d.action, 'reason', {reason}, 'metadata', {metadata},
            'decided_by', {decider}),
        coalesce(e.ancestry, p.path, '{{}}'::text[]) || d.agent_id, e.project, e.task_type
    FROM {source} d JOIN agents a ON a.id = d.agent_id LEFT JOIN events e ON e.position = d.position
    LEFT JOIN job_ancestry p ON e.type LIKE 'job.%' AND p.job_id = e.subject_id""",
        more_columns=("ancestry", "project", "task_type"),
    )


def _append_end_sql(source: str) -> str:
    """Return the CTE that reports each row of `source` to streams, as `execution.` and its status."""
    return append_watched_sql(
        f"""SELECT tenant_id, 'execution.' || status, id, updated_at,
        json_build_object('agent_id', agent_id, 'event_type', event_type, 'action', action) FROM {source}"""
    )


_DECIDE: Final = f"""
WITH item AS (
    -- the decisions to record
    SELECT * FROM unnest($2::text[], $3::text[], $4::json[], $5::text[], $6::json[], $7::json[])
        AS i (id, action, response, by, reason, metadata)
), decided AS (
    -- the first decision, in time
    UPDATE executions x
    SET status = 'completed', action = i.action, response = i.response, decided_by = i.by, error = NULL,
        expires_at = NULL, leased_until = NULL, completed_at = $1, updated_at = $1
    FROM item i WHERE x.id = i.id AND x.status IN ('pending', 'running') AND x.expires_at > $1
    RETURNING x.*, i.reason, i.metadata
), unqueued AS (
    -- what was to be sent for them
    DELETE FROM outbox q USING decided d WHERE q.id = d.id
), {_append_end_sql("decided")}, {_append_action_sql("decided", "d.decided_by", "d.reason", "d.metadata")}
SELECT id FROM decided
"""
_FAIL: Final = f"""
WITH item AS (
    -- the executions to fail
    SELECT * FROM unnest($2::text[], $3::text[]) AS i (id, error)
), failed AS (
    -- those that are open
    UPDATE executions x
    SET status = 'failed', error = i.error, expires_at = NULL, leased_until = NULL, completed_at = $1,
        updated_at = $1
    FROM item i WHERE x.id = i.id AND x.status IN ('pending', 'running')
    RETURNING x.*
), unqueued AS (
    -- what was to be sent for them
    DELETE FROM outbox q USING failed f WHERE q.id = f.id
), {_append_end_sql("failed")}
SELECT id FROM failed
"""
_REVIEW: Final = f"""
WITH reviewed AS (
    -- the execution, if it is flagged
    UPDATE executions SET action = $4, review = $5, updated_at = $1
    WHERE tenant_id = $2 AND id = $3 AND action = 'flag'
    RETURNING *
), {_append_end_sql("reviewed")}, {_append_action_sql("reviewed", "$6::text", "$7::json", "$8::json")}
SELECT id FROM reviewed
"""


_TIME_OUT: Final = f"""
WITH late AS (
    -- those whose time is over
    UPDATE executions
    SET status = 'timed_out', expires_at = NULL, leased_until = NULL, completed_at = $1,
        updated_at = $1, error = coalesce(error, 'No decision was made in time.')
    WHERE id = ANY (ARRAY(
        SELECT id FROM executions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING *
), unqueued AS (
    -- what was to be sent for them
    DELETE FROM outbox q USING late l WHERE q.id = l.id
), {_append_end_sql("late")}
SELECT count(*) FROM late
"""


async def decide_executions(
    db: Database | PoolConnection, decisions: Sequence[NewDecision], now: datetime
) -> set[str]:
    """Decide executions that are open and not late; return their ids. Others are left unchanged."""
    rows = await db.fetch(
        _DECIDE,
        now,
        [one.execution_id for one in decisions],
        [one.decision.action for one in decisions],
        [msgspec.json.encode(one.decision) for one in decisions],
        [one.by for one in decisions],
        [msgspec.json.encode(one.decision.reason) for one in decisions],
        [msgspec.json.encode(one.decision.metadata) for one in decisions],
    )
    return {row["id"] for row in rows}


async def fail_executions(
    db: Database | PoolConnection, failures: Sequence[ExecutionFailure], now: datetime
) -> set[str]:
    """Fail executions that are open; return their ids."""
    rows = await db.fetch(_FAIL, now, [one.execution_id for one in failures], [one.error for one in failures])
    return {row["id"] for row in rows}


async def review_execution(
    db: Database | PoolConnection,
    *,
    tenant_id: str,
    execution_id: str,
    decision: Decision,
    by: str,
    now: datetime,
) -> bool:
    """Record a person's decision; False unless the execution is flagged and has no review."""
    review = {
        "action": decision.action,
        "reason": decision.reason,
        "metadata": decision.metadata,
        "by": by,
        "at": now,
    }
    rows = await db.fetch(
        _REVIEW,
        *(now, tenant_id, execution_id, decision.action, msgspec.json.encode(review), by),
        *(msgspec.json.encode(decision.reason), msgspec.json.encode(decision.metadata)),
    )
    return bool(rows)


async def time_out_executions(db: Database, *, now: datetime, limit: int) -> int:
    """Time out up to `limit` executions; return how many."""
    count: int = await db.fetchval(_TIME_OUT, now, limit)
    return count


async def return_expired_leases(db: Database, *, now: datetime, limit: int) -> int:
    """Make up to `limit` executions pending again whose poll lease has expired; return how many."""
    rows = await db.fetch(
        """
        UPDATE executions SET status = 'pending', leased_until = NULL, updated_at = $1
        WHERE id = ANY (ARRAY(
            SELECT id FROM executions WHERE leased_until <= $1 ORDER BY leased_until LIMIT $2
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING 1
        """,
        now,
        limit,
    )
    return len(rows)


async def next_due_at(db: Database) -> datetime | None:
    """Return when the next execution times out or the next poll lease expires."""
    at: datetime | None = await db.fetchval(
        "SELECT least((SELECT min(expires_at) FROM executions WHERE expires_at IS NOT NULL),"
        " (SELECT min(leased_until) FROM executions WHERE leased_until IS NOT NULL))"
    )
    return at
