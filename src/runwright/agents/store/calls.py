"""The SQL of executions on their way to callbacks and workers: loaded when claimed, settled after a call.

A statement that ends an execution also deletes its row in the outbox. Statements that change both tables
lock executions first.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.agents.model import AgentCall, CallOutcome, Execution
from runwright.agents.store.executions import fetch_executions
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.outbox.queue import OutboxClaim, OutboxKind, OutboxQueue, Settlement, settle_sql
from runwright.secrets.model import EncryptedValue

MAX_CLAIMED_PER_AGENT: Final = 16
MAX_CLAIMED_IF_SLOW: Final = 4
SLOW_SECONDS: Final = 5.0
"""An agent whose callback takes longer counts as slow, like one whose last call failed."""

AGENT_QUEUE: Final = OutboxQueue(
    kind=OutboxKind.AGENT,
    destinations=f"""
        SELECT a.tenant_id, {MAX_CLAIMED_PER_AGENT} AS max_claimed, false AS slow
        FROM agents a WHERE a.id = head.destination_id
    """,
    max_in_flight=128,
    max_in_flight_per_tenant=64,
    max_slow_in_flight=32,
    max_claimed_if_slow=MAX_CLAIMED_IF_SLOW,
    slow_seconds=SLOW_SECONDS,
    lease_seconds=60.0,
)


async def load_calls(db: Database, claims: Sequence[OutboxClaim], now: datetime) -> Sequence[AgentCall]:
    """Mark claimed executions as running and return them with what is known of their agents."""
    by_id = {claim.id: claim for claim in claims}
    await db.execute(
        "UPDATE executions SET status = 'running', updated_at = $2"
        " WHERE id = ANY ($1) AND status = 'pending'",
        list(by_id),
        now,
    )
    rows = await db.fetch(
        """
        SELECT a.id, a.style, a.callback_url, a.worker_id, s.key_id, s.sealed
        FROM agents a LEFT JOIN agent_secrets s ON s.agent_id = a.id WHERE a.id = ANY ($1)
        """,
        list({claim.destination_id for claim in claims}),
    )
    agents = {row["id"]: row for row in rows}
    return [
        _call(by_id[execution.id], execution, agents[execution.agent_id])
        for execution in await fetch_executions(db, list(by_id))
        if execution.agent_id in agents
    ]


def _call(claim: OutboxClaim, execution: Execution, agent: Record) -> AgentCall:
    secret = None if agent["key_id"] is None else EncryptedValue(agent["key_id"], agent["sealed"])
    return struct_from_row(AgentCall, agent, claim=claim, execution=execution, secret=secret)


_SETTLE: Final = f"""
WITH attempt AS MATERIALIZED (
    -- the calls whose execution is still open, locked in one order
    SELECT a.* FROM unnest($1::text[], $2::integer[], $3::timestamptz[], $4::text[], $5::boolean[],
                           $7::text[]) AS a (id, fence, retry_at, error, gone, note)
    JOIN executions x ON x.id = a.id WHERE x.status IN ('pending', 'running')
    ORDER BY a.id FOR UPDATE OF x
), {settle_sql("attempt")}, updated AS (
    -- acknowledged, to be called again, or failed
    UPDATE executions x SET error = coalesce(a.error, a.note), updated_at = $6,
        status = CASE WHEN a.error IS NULL THEN 'running' WHEN a.retry_at IS NOT NULL THEN 'pending'
                 ELSE 'failed' END,
        expires_at = CASE WHEN a.error IS NULL OR a.retry_at IS NOT NULL THEN x.expires_at END,
        leased_until = CASE WHEN a.error IS NULL OR a.retry_at IS NOT NULL THEN x.leased_until END,
        completed_at = CASE WHEN a.error IS NOT NULL AND a.retry_at IS NULL THEN $6::timestamptz END
    FROM attempt a JOIN settled USING (id) WHERE x.id = a.id
    RETURNING x.id
)
SELECT id FROM updated
"""


async def settle_calls(
    db: Database, settlements: Sequence[Settlement[CallOutcome]], now: datetime
) -> set[str]:
    """Record calls that decided nothing; return the ids of those whose claim was still held.

    An agent that is gone is deactivated: it is called no more, and its open executions stay open.
    """
    attempts = [(one, one.result) for one in settlements if one.result is not None]
    async with db.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            _SETTLE,
            [one.claim.id for one, _ in attempts],
            [one.claim.fence for one, _ in attempts],
            [one.retry_at for one, _ in attempts],
            [outcome.error for _, outcome in attempts],
            [outcome.gone for _, outcome in attempts],
            now,
            [outcome.note for _, outcome in attempts],
        )
        settled = {row["id"] for row in rows}
        for one, outcome in attempts:
            if outcome.gone and one.claim.id in settled:
                await _deactivate(connection, one.claim.destination_id, outcome.error or "", now)
    return settled


async def _deactivate(db: PoolConnection, agent_id: str, reason: str, now: datetime) -> None:
    await db.execute(
        "UPDATE agents SET active = false, inactive_reason = $2, updated_at = $3 WHERE id = $1 AND active",
        *(agent_id, reason, now),
    )
    await db.execute("DELETE FROM subscriptions WHERE subscriber_id = $1", agent_id)
    await db.execute(
        """
        WITH queued AS (
            SELECT id FROM outbox WHERE kind = 'agent' AND destination_id = $1
        ), freed AS (
            UPDATE executions x SET status = 'pending', updated_at = $2
            FROM queued q WHERE x.id = q.id AND x.status = 'running' RETURNING x.id
        )
        DELETE FROM outbox WHERE kind = 'agent' AND destination_id = $1
        """,
        *(agent_id, now),
    )


async def take_calls(db: PoolConnection, calls: Sequence[AgentCall]) -> set[str]:
    """Delete claimed calls from the outbox, in the transaction that submits a job for each.

    Returns the executions that are open and whose claim is still held.
    """
    rows = await db.fetch(
        """
        WITH open AS (
            SELECT x.id, i.fence FROM unnest($1::text[], $2::integer[]) AS i (id, fence)
            JOIN executions x ON x.id = i.id WHERE x.status IN ('pending', 'running') FOR UPDATE OF x
        )
        DELETE FROM outbox q USING open o WHERE q.id = o.id AND q.fence = o.fence RETURNING q.id
        """,
        *([call.claim.id for call in calls], [call.claim.fence for call in calls]),
    )
    return {row["id"] for row in rows}


async def drop_calls(db: PoolConnection, agent_id: str) -> None:
    """Delete what is queued for an agent that is not called any more."""
    await db.execute("DELETE FROM outbox WHERE kind = 'agent' AND destination_id = $1", agent_id)
