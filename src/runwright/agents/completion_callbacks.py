"""Completion callbacks of executions; the protocol is in jobs/completion_callbacks.py."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.agents.model import Action, ExecutionStatus
from runwright.core.completion import CompletionCallback, DueCompletionCallback
from runwright.db.pool import Database, PoolConnection


class EndedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """How a followed execution ended."""

    id: str
    tenant_id: str
    agent_id: str
    status: ExecutionStatus
    action: Action | None
    response: msgspec.Raw | None
    """What the agent said: an object with action, reason and metadata."""
    error: str | None
    completed_at: datetime


async def follow_execution(db: PoolConnection, execution_id: str, kind: str, subject_id: str) -> None:
    """Ask to be told of an execution's end, in the transaction that opens it."""
    await db.execute(
        "INSERT INTO followed_executions (execution_id, kind, subject_id) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        *(execution_id, kind, subject_id),
    )


class ExecutionCompletionCallbacks:
    """The wishes about executions, for `engine.follower.Follower`.

    An execution that went with its agent has failed.
    """

    async def anything(self, db: Database) -> bool:
        """Tell whether somebody waits for the end of any execution."""
        return bool(await db.fetchval("SELECT EXISTS (SELECT FROM followed_executions)"))

    async def take(
        self, db: PoolConnection, *, kinds: Sequence[str], limit: int, now: datetime
    ) -> Sequence[DueCompletionCallback[EndedExecution]]:
        """Take up to `limit` wishes whose execution is over; whoever commits has acted on them."""
        rows = await db.fetch(_TAKE, kinds, limit, now)
        return [
            DueCompletionCallback(
                CompletionCallback(row["id"], row["kind"], row["subject_id"]),
                EndedExecution(
                    id=row["id"],
                    tenant_id=row["tenant_id"],
                    agent_id=row["agent_id"],
                    status=ExecutionStatus(row["status"]),
                    action=None if row["action"] is None else Action(row["action"]),
                    response=row["response"],
                    error=row["error"],
                    completed_at=row["completed_at"],
                ),
            )
            for row in rows
        ]

    async def postpone(self, db: Database, wish: CompletionCallback, *, until: datetime) -> None:
        """Leave a wish alone for a while."""
        await db.execute(
            "UPDATE followed_executions SET due_at = $4"
            " WHERE execution_id = $1 AND kind = $2 AND subject_id = $3",
            *(wish.followed_id, wish.kind, wish.subject_id, until),
        )


_TAKE: Final = """
WITH due AS (
    SELECT f.execution_id, f.kind, f.subject_id
    FROM followed_executions f JOIN executions x ON x.id = f.execution_id
    WHERE f.kind = ANY ($1) AND f.due_at <= $3
      AND (x.completed_at IS NOT NULL OR NOT EXISTS (SELECT FROM agents a WHERE a.id = x.agent_id))
    LIMIT $2 FOR UPDATE OF f SKIP LOCKED
), taken AS (
    DELETE FROM followed_executions f USING due d
    WHERE f.execution_id = d.execution_id AND f.kind = d.kind AND f.subject_id = d.subject_id
    RETURNING f.execution_id, f.kind, f.subject_id
)
SELECT t.kind, t.subject_id, x.id, x.tenant_id, x.agent_id, x.action, x.response,
       CASE WHEN x.completed_at IS NULL THEN 'failed' ELSE x.status END AS status,
       CASE WHEN x.completed_at IS NULL THEN 'The agent was deleted.' ELSE x.error END AS error,
       coalesce(x.completed_at, $3) AS completed_at
FROM taken t JOIN executions x ON x.id = t.execution_id ORDER BY completed_at, x.id
"""
