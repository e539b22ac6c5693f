"""The SQL of the log's other side: subscriptions, and handing out what is wanted."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from runwright.db.pool import Database, PoolConnection
from runwright.events.append import appended
from runwright.events.model import Event

_APPEND: Final = f"""
WITH {appended("VALUES ($1::text, $2::text, $3::text, $4::timestamptz, $5::json)")}
SELECT position FROM event
"""


class Wanted(msgspec.Struct, frozen=True):
    """An event, and who wants it."""

    event: Event
    subscriber_ids: list[str]


async def append_event(
    db: PoolConnection,
    *,
    tenant_id: str,
    type: str,
    subject_id: str,
    now: datetime,
    data: bytes | None = None,
) -> int:
    """Append one event in the caller's transaction, and queue it where somebody wants it."""
    position: int = await db.fetchval(_APPEND, tenant_id, type, subject_id, now, data)
    return position


async def subscribe(
    db: PoolConnection, *, tenant_id: str, subscriber_id: str, patterns: Iterable[str]
) -> None:
    """Make these the patterns of a subscriber, in place of those before; none: it wants nothing."""
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


async def anybody_subscribed(db: Database) -> bool:
    """Tell whether anybody wants any event."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM subscriptions)"))


async def take_wanted(db: PoolConnection, *, limit: int) -> Sequence[Wanted]:
    """Take up to `limit` events off the queue, oldest first; whoever commits has handed them out.

    Rows that another router holds are skipped. Those who subscribed are asked for now, hence one
    that has gone meanwhile gets nothing, and one that came after the event and before this may.
    """
    rows = await db.fetch(
        """
        WITH taken AS (
            DELETE FROM event_queue WHERE position = ANY (ARRAY(
                SELECT position FROM event_queue ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED
            )) RETURNING position
        )
        SELECT e.position, e.tenant_id, e.type, e.subject_id, e.created_at,
               ARRAY(SELECT DISTINCT s.subscriber_id FROM subscriptions s WHERE s.tenant_id = e.tenant_id
                     AND s.pattern = ANY (ARRAY[e.type, split_part(e.type, '.', 1) || '.*', '*'])) AS who
        FROM taken t JOIN events e USING (position) ORDER BY e.position
        """,
        limit,
    )
    return [
        Wanted(
            Event(
                position=row["position"],
                tenant_id=row["tenant_id"],
                type=row["type"],
                subject_id=row["subject_id"],
                created_at=row["created_at"],
            ),
            row["who"],
        )
        for row in rows
    ]


async def forget_events(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` events from before a time, from the oldest on; returns how many."""
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
