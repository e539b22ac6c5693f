"""The SQL of subscriptions, and of the queue from which events are routed to subscribers."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.turns import in_turns
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.events.event_sql import append_sql
from runwright.events.model import Event

_APPEND: Final = f"""
WITH {append_sql("VALUES ($1::text, $2::text, $3::text, $4::timestamptz, $5::json)")}
SELECT position FROM event
"""


class QueuedEvent(msgspec.Struct, frozen=True):
    """An event from the router's queue, and its subscribers."""

    event: Event
    subscriber_ids: list[str]

    @property
    def weight(self) -> int:
        """Roughly what routing it costs."""
        return len(self.subscriber_ids) + (
            0 if self.event.data is None else len(bytes(self.event.data)) // 1024
        )


async def append_event(
    db: PoolConnection,
    *,
    tenant_id: str,
    type: str,
    subject_id: str,
    now: datetime,
    data: bytes | None = None,
) -> int:
    """Append an event in the caller's transaction, and queue it for the router if it has subscribers."""
    position: int = await db.fetchval(_APPEND, tenant_id, type, subject_id, now, data)
    return position


async def subscribe(
    db: PoolConnection, *, tenant_id: str, subscriber_id: str, patterns: Iterable[str]
) -> None:
    """Replace the patterns of a subscriber; without any it is unsubscribed."""
    await db.execute(
        "DELETE FROM subscriptions WHERE subscriber_id = $1 AND pattern <> ALL ($2)",
        subscriber_id,
        list(patterns),
    )
    await db.execute(
        """
        INSERT INTO subscriptions (tenant_id, pattern, subscriber_id)
        SELECT $1, p, $2 FROM unnest($3::text[]) AS p ON CONFLICT DO NOTHING
        """,
        tenant_id,
        subscriber_id,
        list(patterns),
    )


async def any_subscriptions(db: Database) -> bool:
    """Return whether any event has a subscriber or is streamed."""
    return bool(
        await db.fetchval("SELECT EXISTS (SELECT FROM subscriptions) OR EXISTS (SELECT FROM event_watches)")
    )


TAKE_WEIGHT: Final = 4_000
"""The limit of one take: an event weighs one per subscriber and one per KiB of its data."""

_TAKE: Final = """
WITH picked AS MATERIALIZED (
    -- the oldest events of the queue that no other router holds
    SELECT position FROM event_queue WHERE position > $3 ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED
), happened AS MATERIALIZED (
    -- what they are; an event of a job inherits the ancestry of the job
    SELECT e.position, e.tenant_id, e.type, e.subject_id, e.created_at, e.data,
           coalesce(e.ancestry, j.path) AS ancestry
    FROM events e LEFT JOIN job_ancestry j ON e.type LIKE 'job.%' AND j.job_id = e.subject_id
    WHERE e.position = ANY (ARRAY(SELECT position FROM picked))
), kind AS MATERIALIZED (
    -- the subscribers of each type of them, found once per type
    SELECT k.tenant_id, k.type, ARRAY(
        SELECT DISTINCT s.subscriber_id FROM subscriptions s WHERE s.tenant_id = k.tenant_id
        AND s.pattern = ANY (ARRAY[k.type, split_part(k.type, '.', 1) || '.*', '*'])
    ) AS subscriber_ids
    FROM (SELECT DISTINCT tenant_id, type FROM happened) k
), weighed AS MATERIALIZED (
    -- the weight of the events before each of them, tenants taking turns
    SELECT h.*, k.subscriber_ids,
        coalesce(sum(cardinality(k.subscriber_ids) + coalesce(octet_length(h.data::text), 0) / 1024)
        OVER (ORDER BY h.turn, h.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY position) AS turn FROM happened
    ) h JOIN kind k USING (tenant_id, type)
), taken AS (
    -- the oldest of them that weigh as much as one take may
    DELETE FROM event_queue WHERE position = ANY (ARRAY(SELECT position FROM weighed WHERE before < $2))
    RETURNING position
)
SELECT w.position, w.tenant_id, w.type, w.subject_id, w.created_at, w.data, w.ancestry, w.subscriber_ids
FROM weighed w WHERE w.before < $2 AND w.position IN (SELECT position FROM taken)
ORDER BY w.position
"""


async def take_queued_events(
    db: PoolConnection, *, limit: int, weight: int = TAKE_WEIGHT, after: int = 0
) -> Sequence[QueuedEvent]:
    """Delete up to `limit` events from the queue, oldest first, and return them with their subscribers.

    Only those `after` a position are looked at.

    Rows that another router holds are skipped. Subscriptions are read now: a subscriber that was deleted
    meanwhile gets nothing, and one that came after the event may get it. Fewer events, and at least one,
    are taken where they weigh more than `weight`.
    """
    return await in_turns(await db.fetch(_TAKE, limit, weight, after), _queued_event)


def _queued_event(row: Record) -> QueuedEvent:
    return QueuedEvent(struct_from_row(Event, row), row["subscriber_ids"])


async def drop_queued_event(db: Database, *, position: int) -> None:
    """Remove an event from the queue: no subscriber gets it. It stays in the event log."""
    await db.execute("DELETE FROM event_queue WHERE position = $1", position)


async def prune_events(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` events that happened before a time, the oldest first; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM events WHERE position = ANY (ARRAY(
            SELECT position FROM (SELECT position, created_at FROM events ORDER BY position LIMIT $2) oldest
            WHERE created_at < $1
              AND NOT EXISTS (SELECT FROM event_queue q WHERE q.position = oldest.position)
        )) RETURNING 1
        """,
        before,
        limit,
    )
    return len(rows)
