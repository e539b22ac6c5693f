"""The SQL of stored executions: lists, leases of pollers, deletion of old ones."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from asyncpg import Record

from runwright.agents.model import Execution, ExecutionFilter, ExecutionStatus
from runwright.core.ids import floor_id
from runwright.core.paging import View, Window
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.events.model import Event
from runwright.events.publish import OWN_FAMILIES

# The end of a job is no part of an event that happened before it.
_SELECT: Final = """
SELECT x.*, e.subject_id, e.created_at AS happened_at, e.data, coalesce(e.ancestry, p.path) AS ancestry,
       CASE WHEN j.id IS NOT NULL THEN json_build_object(
           'job_id', j.id, 'worker_id', j.worker_id, 'trigger', j.trigger,
           'status', split_part(x.event_type, '.', 2), 'attempt', r.attempt, 'error', r.error,
           'started_at', r.started_at, 'completed_at', r.completed_at, 'duration_ms', r.duration_ms
       ) END AS job
FROM ({chosen}) x LEFT JOIN events e ON e.position = x.position
LEFT JOIN jobs j ON x.event_type LIKE 'job.%' AND j.tenant_id = x.tenant_id AND j.id = e.subject_id
LEFT JOIN job_ancestry p ON p.job_id = j.id
LEFT JOIN job_results r ON r.job_id = j.id AND x.event_type NOT IN ('job.queued', 'job.started')
"""
_HAS_AGENT: Final = "EXISTS (SELECT FROM agents a WHERE a.id = executions.agent_id)"


_EMPTY: Final = msgspec.Raw(b"{}")


def _payload(event: Event, job: msgspec.Raw | None) -> msgspec.Raw:
    """Return the published payload, or a JSON object with the facts of one of our own events."""
    if event.type.partition(".")[0] not in OWN_FAMILIES:
        return event.data or _EMPTY
    facts: dict[str, object] = {"subject_id": event.subject_id, "occurred_at": event.created_at}
    for part in (job, event.data):
        if part is not None and bytes(part).lstrip().startswith(b"{"):
            facts |= msgspec.json.decode(part, type=dict[str, msgspec.Raw])
    return msgspec.Raw(msgspec.json.encode(facts))


def _execution(row: Record) -> Execution:
    # the event may have been pruned
    event = struct_from_row(
        Event,
        row,
        type=row["event_type"],
        subject_id=row["subject_id"] or "",
        created_at=row["happened_at"] or row["created_at"],
    )
    return struct_from_row(Execution, row, event=event, payload=_payload(event, row["job"]))


async def fetch_execution(
    db: Database | PoolConnection, *, tenant_id: str, execution_id: str
) -> Execution | None:
    """Return an execution of an agent of the tenant."""
    chosen = f"SELECT * FROM executions WHERE tenant_id = $1 AND id = $2 AND {_HAS_AGENT}"
    row = await db.fetchrow(_SELECT.format(chosen=chosen), tenant_id, execution_id)
    return None if row is None else _execution(row)


async def fetch_executions(db: Database | PoolConnection, ids: Sequence[str]) -> list[Execution]:
    """Return executions by their ids, newest first."""
    rows = await db.fetch(
        _SELECT.format(chosen="SELECT * FROM executions WHERE id = ANY ($1)") + " ORDER BY x.id DESC", ids
    )
    return [_execution(row) for row in rows]


async def list_executions(
    db: Database, *, tenant_id: str, which: ExecutionFilter, window: Window
) -> View[Execution]:
    """Return a window of executions of the tenant's agents.

    The indexes are by state: a list of all states is merged from the lists of each.
    """
    statuses = list(ExecutionStatus) if which.status is None else [which.status]
    owner, owner_id = ("tenant_id", tenant_id) if which.agent_id is None else ("agent_id", which.agent_id)
    bounds = (
        "($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR id > $4)"
        f" AND ($6::text IS NULL OR action = $6) AND {_HAS_AGENT}"
    )
    if which.action is not None and which.agent_id is None:
        one = f"SELECT * FROM executions WHERE tenant_id = $1 AND status = ANY ($2) AND {bounds}"
    else:
        one = (
            "SELECT found.* FROM unnest($2::text[]) AS s (status) CROSS JOIN LATERAL ("
            f"SELECT * FROM executions WHERE {owner} = $1 AND executions.status = s.status AND {bounds}"
            f" ORDER BY id {window.order} LIMIT $5) found"
        )
    rows = await db.fetch(
        _SELECT.format(chosen=f"{one} ORDER BY id {window.order} LIMIT $5")
        + f" ORDER BY x.id {window.order}",
        *(owner_id, statuses, window.older_than, window.newer_than, window.limit + 1, which.action),
    )
    return View.of([_execution(row) for row in rows], window)


async def lease_executions(
    db: Database | PoolConnection, *, agent_id: str, now: datetime, lease_seconds: float, limit: int
) -> list[str]:
    """Lease up to `limit` of the oldest pending executions of an agent to a poller; return their ids.

    Those that another poller is taking are skipped, and those in the outbox.
    """
    rows = await db.fetch(
        """
        UPDATE executions SET status = 'running', updated_at = $2, leased_until = least($3, expires_at)
        WHERE id = ANY (ARRAY(
            SELECT id FROM executions x
            WHERE agent_id = $1 AND status = 'pending' AND expires_at > $2
              AND NOT EXISTS (SELECT FROM outbox q WHERE q.id = x.id)
            ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED
        ))
        RETURNING id
        """,
        *(agent_id, now, now + timedelta(seconds=lease_seconds), limit),
    )
    return [row["id"] for row in rows]


async def prune_executions(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` executions that were opened before a time, in any state; return how many."""
    deleted: int = await db.fetchval(
        """
        WITH old AS (
            -- up to $2 of the oldest executions, by their ids
            SELECT id FROM executions WHERE id < $1 ORDER BY id LIMIT $2
        ), unqueued AS (
            -- their rows in the outbox
            DELETE FROM outbox q USING old o WHERE q.id = o.id
        ), callbacks AS (
            -- the completion callbacks that wait for them
            DELETE FROM completion_callbacks c USING old o WHERE c.target_id = o.id
        ), deleted AS (
            -- one row for each deleted execution
            DELETE FROM executions x USING old o WHERE x.id = o.id RETURNING 1
        )
        SELECT count(*) AS deleted FROM deleted
        """,
        floor_id("exn", before),
        limit,
    )
    return deleted


async def prune_orphaned_executions(db: Database, *, limit: int) -> int:
    """Delete up to `limit` executions of deleted agents; return how many.

    One with a completion callback stays until that has run.
    """
    deleted: int = await db.fetchval(
        """
        WITH RECURSIVE named AS (
            -- the agents that have executions, by a skip scan of the index
            (SELECT agent_id FROM executions ORDER BY agent_id LIMIT 1)
            UNION ALL
            SELECT (SELECT x.agent_id FROM executions x WHERE x.agent_id > named.agent_id
                    ORDER BY x.agent_id LIMIT 1)
            FROM named WHERE named.agent_id IS NOT NULL
        ), orphan AS (
            -- up to $1 executions of those agents that do not exist any more
            SELECT o.id FROM named n CROSS JOIN LATERAL (
                SELECT id FROM executions x WHERE agent_id = n.agent_id
                  AND NOT EXISTS (SELECT FROM completion_callbacks c WHERE c.target_id = x.id) LIMIT $1
            ) o
            WHERE NOT EXISTS (SELECT FROM agents a WHERE a.id = n.agent_id) LIMIT $1
        ), unqueued AS (
            -- their rows in the outbox
            DELETE FROM outbox q USING orphan o WHERE q.id = o.id
        ), deleted AS (
            -- one row for each deleted execution
            DELETE FROM executions x USING orphan o WHERE x.id = o.id RETURNING 1
        )
        SELECT count(*) AS deleted FROM deleted
        """,
        limit,
    )
    return deleted
