"""The ends of executions, for completion callbacks (events/completion.py)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.agents.model import Action, ExecutionStatus
from runwright.db.pool import PoolConnection
from runwright.db.rows import struct_from_row
from runwright.events.completion import CompletionSource, CompletionTarget


class EndedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended."""

    id: str
    tenant_id: str
    agent_id: str
    status: ExecutionStatus
    action: Action | None
    response: msgspec.Raw | None
    """The agent's answer: an object with action, reason and metadata."""
    error: str | None
    completed_at: datetime


async def _fetch_ended(db: PoolConnection, ids: Sequence[str], now: datetime) -> dict[str, EndedExecution]:
    rows = await db.fetch(
        """
        SELECT id, tenant_id, agent_id, action, response,
               CASE WHEN completed_at IS NULL THEN 'failed' ELSE status END AS status,
               CASE WHEN completed_at IS NULL THEN 'The agent was deleted.' ELSE error END AS error,
               coalesce(completed_at, $2) AS completed_at
        FROM executions WHERE id = ANY ($1) ORDER BY coalesce(completed_at, $2), id
        """,
        *(ids, now),
    )
    return {row["id"]: struct_from_row(EndedExecution, row) for row in rows}


EXECUTION_ENDS: Final = CompletionSource(
    target=CompletionTarget.EXECUTION,
    # an execution whose agent was deleted has failed
    ended="""EXISTS (SELECT FROM executions x WHERE x.id = c.target_id AND (
        x.completed_at IS NOT NULL OR NOT EXISTS (SELECT FROM agents a WHERE a.id = x.agent_id)
    ))""",
    fetch=_fetch_ended,
)
