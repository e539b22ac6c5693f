"""Executions on their way to callbacks and workers: claimed, settled.

States of a row of agent_calls: waiting (`calling` false, until `due_at`) → calling (claimed; `due_at`
is then the end of the lease) → gone, or waiting again one step up the ladder. A lease that ran out is
claimed again like a row that is due: the call may be repeated, it is not lost, and only one decision
counts. Whoever ends an execution takes its row away.

Whatever changes both tables locks executions first.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from runwright.agents.callbacks import Answered, Call
from runwright.agents.store.executions import fetch_executions
from runwright.db.pool import Database, PoolConnection
from runwright.secrets.model import EncryptedValue

LANE_WINDOW: Final = 512
AGENT_AT_ONCE: Final = 16
"""Calls of one agent that are under way at once, wherever they were claimed."""


class ClaimedCalls(msgspec.Struct, frozen=True):
    """What a claim gave, where the next one goes on (None: from the first agent), when more is due."""

    calls: list[Call]
    cursor: str | None
    next_due: datetime | None


# A lane is what is on its way to one agent. Turns go round the lanes before a lane gets its second one.
_CLAIM: Final = f"""
WITH RECURSIVE lane AS (
    (SELECT agent_id, due_at, 1 AS nth FROM agent_calls WHERE agent_id > $2 ORDER BY agent_id, due_at LIMIT 1)
    UNION ALL
    SELECT following.agent_id, following.due_at, lane.nth + 1
    FROM lane CROSS JOIN LATERAL (
        SELECT q.agent_id, q.due_at FROM agent_calls q WHERE q.agent_id > lane.agent_id
        ORDER BY q.agent_id, q.due_at LIMIT 1
    ) following
    WHERE lane.nth < {LANE_WINDOW}
), candidate AS (
    SELECT a.tenant_id, c.*, row_number() OVER (PARTITION BY a.id ORDER BY c.due_at, c.execution_id) AS turn
    FROM lane l JOIN agents a ON a.id = l.agent_id
     AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = a.tenant_id AND t.status = 'suspended')
    CROSS JOIN LATERAL (
        SELECT count(*) AS calls FROM agent_calls b
        WHERE b.agent_id = l.agent_id AND b.due_at > $1 AND b.calling
    ) busy
    CROSS JOIN LATERAL (
        SELECT q.execution_id, q.agent_id, q.due_at, q.fence FROM agent_calls q
        WHERE q.agent_id = l.agent_id AND q.due_at <= $1
        ORDER BY q.due_at LIMIT greatest({AGENT_AT_ONCE} - busy.calls, 0)
    ) c
    WHERE l.due_at <= $1
), chosen AS (
    SELECT p.* FROM (
        SELECT c.*, coalesce(u.used, 0) + row_number() OVER (
            PARTITION BY c.tenant_id ORDER BY c.turn, c.due_at) AS nth_of_tenant
        FROM candidate c LEFT JOIN unnest($5::text[], $6::integer[]) AS u (tenant_id, used) USING (tenant_id)
    ) p
    WHERE p.nth_of_tenant <= $7 ORDER BY p.turn, p.due_at LIMIT $3
), locked AS (
    SELECT c.execution_id FROM chosen c
    JOIN agent_calls q ON q.execution_id = c.execution_id AND q.fence = c.fence
    FOR UPDATE OF q SKIP LOCKED
), claimed AS (
    UPDATE agent_calls q SET calling = true, due_at = $4, fence = q.fence + 1
    FROM locked l WHERE q.execution_id = l.execution_id
    RETURNING q.execution_id, q.agent_id, q.fence, q.step
)
SELECT c.*, a.style, a.callback_url, a.worker_id, s.key_id, s.sealed,
       (SELECT agent_id FROM lane WHERE nth = {LANE_WINDOW}) AS cursor,
       (SELECT min(due_at) FROM lane WHERE due_at > $1) AS next_due
FROM (SELECT true) AS always
LEFT JOIN (
    claimed c JOIN agents a ON a.id = c.agent_id LEFT JOIN agent_secrets s ON s.agent_id = c.agent_id
) ON true
"""


async def claim_calls(
    db: Database,
    *,
    now: datetime,
    limit: int,
    lease_seconds: float,
    cursor: str | None,
    used: Mapping[str, int],
    tenant_room: int,
) -> ClaimedCalls:
    """Claim up to `limit` executions that are to be told now; they are running then.

    Of an agent no more than `AGENT_AT_ONCE` are under way, of a tenant no more than `tenant_room`,
    `used` of them already here. Agents take turns; those of suspended tenants are passed over.
    """
    rows = await db.fetch(
        _CLAIM,
        *(now, cursor or "", limit, now + timedelta(seconds=lease_seconds)),
        *(list(used), list(used.values()), tenant_room),
    )
    found = {row["execution_id"]: row for row in rows if row["execution_id"] is not None}
    if found:
        await db.execute(
            "UPDATE executions SET status = 'running', updated_at = $2"
            " WHERE id = ANY ($1) AND status = 'pending'",
            list(found),
            now,
        )
    calls = [
        Call(
            execution=execution,
            fence=row["fence"],
            step=row["step"],
            style=row["style"],
            callback_url=row["callback_url"],
            worker_id=row["worker_id"],
            secret=None if row["key_id"] is None else EncryptedValue(row["key_id"], row["sealed"]),
        )
        for execution in (await fetch_executions(db, list(found)) if found else ())
        for row in (found[execution.id],)
    ]
    return ClaimedCalls(calls, rows[0]["cursor"], rows[0]["next_due"])


_HELD: Final = """
    WHERE x.id = $1 AND x.status IN ('pending', 'running')
      AND EXISTS (SELECT FROM agent_calls c WHERE c.execution_id = $1 AND c.fence = $2)
"""
_ACKNOWLEDGE: Final = f"""
WITH held AS (
    UPDATE executions x SET status = 'running', error = NULL, updated_at = $3 {_HELD} RETURNING x.id
)
DELETE FROM agent_calls c USING held h WHERE c.execution_id = h.id AND c.fence = $2 RETURNING true
"""
_RETRY: Final = f"""
WITH held AS (
    UPDATE executions x SET status = 'pending', error = $4, updated_at = $3 {_HELD} RETURNING x.id
)
UPDATE agent_calls c SET calling = false, due_at = $5, step = c.step + 1
FROM held h WHERE c.execution_id = h.id AND c.fence = $2 RETURNING true
"""
_FAIL: Final = f"""
WITH held AS (
    UPDATE executions x SET status = 'failed', error = $4, expires_at = NULL, leased_until = NULL,
        completed_at = $3, updated_at = $3 {_HELD} RETURNING x.id
)
DELETE FROM agent_calls c USING held h WHERE c.execution_id = h.id AND c.fence = $2 RETURNING true
"""


async def settle_call(db: Database, call: Call, answered: Answered, now: datetime) -> bool:
    """Record what came of a call that decided nothing; False where the claim is not ours any more.

    An agent that is gone is deactivated: nothing more is told to it, and what it has stays open.
    """
    token = (call.execution.id, call.fence, now)
    if answered.error is None:
        return bool(await db.fetchval(_ACKNOWLEDGE, *token))
    if answered.retry_at is not None:
        return bool(await db.fetchval(_RETRY, *token, answered.error, answered.retry_at))
    async with db.acquire() as connection, connection.transaction():
        failed = await connection.fetchval(_FAIL, *token, answered.error)
        if failed and answered.gone:
            await _deactivate(connection, call.execution.agent_id, answered.error, now)
    return bool(failed)


async def _deactivate(db: PoolConnection, agent_id: str, why: str, now: datetime) -> None:
    await db.execute(
        "UPDATE agents SET active = false, inactive_reason = $2, updated_at = $3 WHERE id = $1 AND active",
        *(agent_id, why, now),
    )
    await db.execute("DELETE FROM subscriptions WHERE subscriber_id = $1", agent_id)
    await db.execute(
        """
        WITH mine AS (
            SELECT execution_id FROM agent_calls WHERE agent_id = $1
        ), freed AS (
            UPDATE executions x SET status = 'pending', updated_at = $2
            FROM mine m WHERE x.id = m.execution_id AND x.status = 'running' RETURNING x.id
        )
        DELETE FROM agent_calls WHERE agent_id = $1
        """,
        *(agent_id, now),
    )


async def set_calls_aside(db: Database, calls: Sequence[Call], *, until: datetime) -> None:
    """Give back calls that were not made."""
    await db.execute(
        """
        UPDATE agent_calls c SET calling = false, due_at = $3
        FROM unnest($1::text[], $2::integer[]) AS i (id, fence)
        WHERE c.execution_id = i.id AND c.fence = i.fence AND c.calling
        """,
        *([call.execution.id for call in calls], [call.fence for call in calls], until),
    )


async def take_calls(db: PoolConnection, calls: Sequence[Call]) -> set[str]:
    """Take claimed calls off the queue, in the transaction that makes a job of each.

    Returns the executions that are open and still claimed by us.
    """
    rows = await db.fetch(
        """
        WITH open AS (
            SELECT x.id, i.fence FROM unnest($1::text[], $2::integer[]) AS i (id, fence)
            JOIN executions x ON x.id = i.id WHERE x.status IN ('pending', 'running') FOR UPDATE OF x
        )
        DELETE FROM agent_calls c USING open o WHERE c.execution_id = o.id AND c.fence = o.fence
        RETURNING c.execution_id
        """,
        *([call.execution.id for call in calls], [call.fence for call in calls]),
    )
    return {row["execution_id"] for row in rows}
