"""The SQL that opens executions: one per event and agent, in the transaction that routes the event.

The execution of an event whose ancestry has the greatest length is created as failed. Executions of agents
with a callback or a worker are queued in the outbox.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.agents.model import DECISION_WINDOW
from runwright.core.ids import new_id
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import columns_of
from runwright.events.event_sql import append_watched_sql
from runwright.events.model import Event
from runwright.events.publish import MAX_DEPTH, too_deep
from runwright.outbox.queue import OutboxKind, enqueue_sql

TOO_DEEP: Final = (
    f"The event comes out of a chain of {MAX_DEPTH} agents and automations, each of which answered the one"
    " before; the chain ends here."
)


class OpenedExecutions(msgspec.Struct, frozen=True):
    """The number of executions that were opened, and of those that failed because of their ancestry."""

    executions: int
    too_deep: int


_MATCHES: Final = """
    (a.project IS NULL OR a.project = e.project)
    AND (cardinality(a.task_types) = 0 OR e.task_type = ANY (a.task_types))
"""
_CALLED: Final = """
    SELECT m.id, m.agent_id, $5::timestamptz FROM created m JOIN agents a ON a.id = m.agent_id
    WHERE m.status = 'pending' AND (a.callback_url IS NOT NULL OR a.worker_id IS NOT NULL)
"""
_OPENED: Final = append_watched_sql(
    """SELECT tenant_id, CASE status WHEN 'failed' THEN 'execution.failed' ELSE 'execution.opened' END,
           id, $5::timestamptz, json_build_object('agent_id', agent_id, 'event_type', event_type)
    FROM created"""
)
_OPEN: Final = f"""
WITH item AS (
    -- the pairs of an event and an agent
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[])
        AS i (id, agent_id, position, deep)
), created AS (
    -- the executions that were opened
    INSERT INTO executions (id, tenant_id, agent_id, position, event_type, status, error, expires_at,
                            started_at, completed_at, created_at, updated_at)
    SELECT i.id, a.tenant_id, a.id, e.position, e.type,
           CASE WHEN i.deep THEN 'failed' ELSE 'pending' END, CASE WHEN i.deep THEN $7 END,
           CASE WHEN NOT i.deep THEN $6::timestamptz END, $5, CASE WHEN i.deep THEN $5::timestamptz END,
           $5, $5
    FROM item i JOIN agents a ON a.id = i.agent_id JOIN events e ON e.position = i.position
    WHERE {{which}}
    ON CONFLICT (position, agent_id) DO NOTHING
    RETURNING id, tenant_id, agent_id, event_type, status
), {_OPENED}, called AS (
    -- those whose agent is called
    {enqueue_sql(OutboxKind.AGENT, _CALLED)}
)
SELECT count(*) AS executions, count(*) FILTER (WHERE status = 'failed') AS too_deep FROM created
"""
_OPEN_MATCHING: Final = _OPEN.format(which=f"a.active AND {_MATCHES}")
_OPEN_FOR: Final = _OPEN.format(which="a.tenant_id = e.tenant_id")


async def open_matching(
    db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime
) -> OpenedExecutions:
    """Open an execution for each (event, agent) where the agent is active and its filters match.

    Existing ones are left unchanged.
    """
    return await _open(db, _OPEN_MATCHING, pairs, [new_id("exn", now) for _ in pairs], now)


async def open_for(db: PoolConnection, event: Event, agent_id: str, now: datetime) -> str | None:
    """Open an execution for one agent, whatever it subscribed to; return its id, or None without it."""
    execution_id = new_id("exn", now)
    opened = await _open(db, _OPEN_FOR, [(event, agent_id)], [execution_id], now)
    return execution_id if opened.executions else None


async def _open(
    db: PoolConnection, sql: str, pairs: Sequence[tuple[Event, str]], ids: Sequence[str], now: datetime
) -> OpenedExecutions:
    row = await db.fetchrow(
        sql,
        ids,
        [agent_id for _, agent_id in pairs],
        [event.position for event, _ in pairs],
        [too_deep(event.ancestry) for event, _ in pairs],
        now,
        now + DECISION_WINDOW,
        TOO_DEEP,
    )
    assert row is not None  # noqa: S101  a count has a row
    return OpenedExecutions(row["executions"], row["too_deep"])


async def insert_unrouted_event(
    db: PoolConnection,
    *,
    tenant_id: str,
    type: str,
    subject_id: str,
    data: bytes,
    ancestry: Sequence[str],
    now: datetime,
) -> Event:
    """Append an event that is for one agent alone and is not routed to subscribers."""
    position: int = await db.fetchval(
        "INSERT INTO events (tenant_id, type, subject_id, created_at, data, ancestry)"
        " VALUES ($1, $2, $3, $4, $5, $6) RETURNING position",
        *(tenant_id, type, subject_id, now, data, list(ancestry) or None),
    )
    return Event(
        position=position,
        tenant_id=tenant_id,
        type=type,
        subject_id=subject_id,
        created_at=now,
        data=msgspec.Raw(data),
        ancestry=tuple(ancestry),
    )


class EventKey(msgspec.Struct, frozen=True):
    """The fields of an event that determine which agents get it."""

    tenant_id: str
    type: str
    project: str | None
    task_type: str | None


async def count_matching(db: Database | PoolConnection, events: Sequence[EventKey]) -> dict[EventKey, int]:
    """Return for each of these how many agents get such an event now.

    The subqueries allow only one plan, from the pattern to its subscribers: a join could be planned by
    statistics from before the tenant's agents were registered, and read all of them for each event.
    """
    distinct = list(dict.fromkeys(events))
    rows = await db.fetch(
        f"""
        SELECT e.n, (
            SELECT count(DISTINCT s.subscriber_id)
            FROM unnest(ARRAY[e.type, split_part(e.type, '.', 1) || '.*', '*']) AS p (pattern)
            CROSS JOIN LATERAL (
                SELECT subscriber_id FROM subscriptions
                WHERE tenant_id = e.tenant_id AND pattern = p.pattern AND subscriber_id LIKE 'agt\\_%'
                OFFSET 0
            ) s
            WHERE (SELECT a.active AND {_MATCHES} FROM agents a WHERE a.id = s.subscriber_id)
        ) AS matching
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
            WITH ORDINALITY AS e (tenant_id, type, project, task_type, n)
        """,
        *columns_of(distinct, len(EventKey.__struct_fields__)),
    )
    return {distinct[row["n"] - 1]: row["matching"] for row in rows}
