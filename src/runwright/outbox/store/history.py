"""Reading deliveries, sending one again, keeping a test, forgetting what is old."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.ids import floor_id
from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.events.model import Event
from runwright.outbox.model import Attempt, Delivery, DeliveryStatus, Outcome

_ATTEMPTS_SHOWN: Final = 20
COLUMNS: Final = """
    d.id, d.tenant_id, d.endpoint_id, d.position, d.event_type, d.status, d.attempts, d.created_at,
    d.completed_at, q.due_at, q.sending, e.subject_id, e.created_at AS happened_at
"""
_JOINS: Final = """
    LEFT JOIN delivery_queue q ON q.delivery_id = d.id
    LEFT JOIN events e ON e.position = d.position
"""
_LISTED: Final = Rows(columns=COLUMNS, table="deliveries d", joins=_JOINS, key="d.id")


async def list_deliveries(
    db: Database, *, endpoint_id: str, status: DeliveryStatus | None, page: PageRequest
) -> Listing[Delivery]:
    """Return a page of an endpoint's deliveries, newest first."""
    where = Conditions("d.endpoint_id = $1", endpoint_id)
    where.add("d.status = {}", status)
    found = await fetch_page(db, _LISTED, where, page)
    attempts = await attempts_of(db, [row["id"] for row in found.rows])
    return found.map(lambda row: delivery_of(row, attempts.get(row["id"], [])))


async def fetch_delivery(
    db: Database | PoolConnection, *, endpoint_id: str, delivery_id: str
) -> Delivery | None:
    """Return one delivery of an endpoint."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM deliveries d {_JOINS} WHERE d.id = $1 AND d.endpoint_id = $2",
        delivery_id,
        endpoint_id,
    )
    if row is None:
        return None
    attempts = await attempts_of(db, [delivery_id])
    return delivery_of(row, attempts.get(delivery_id, []))


async def attempts_of(db: Database | PoolConnection, delivery_ids: Sequence[str]) -> dict[str, list[Attempt]]:
    rows = await db.fetch(
        f"""
        SELECT a.* FROM unnest($1::text[]) AS wanted (id) CROSS JOIN LATERAL (
            SELECT delivery_id, number, started_at, duration_ms, response_status, error
            FROM delivery_attempts WHERE delivery_id = wanted.id ORDER BY number DESC LIMIT {_ATTEMPTS_SHOWN}
        ) a ORDER BY a.number
        """,
        delivery_ids,
    )
    found: dict[str, list[Attempt]] = {}
    for delivery_id, *values in rows:
        names = Attempt.__struct_fields__
        found.setdefault(delivery_id, []).append(Attempt(**dict(zip(names, values, strict=True))))
    return found


def delivery_of(row: Record, attempts: list[Attempt]) -> Delivery:
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event=Event(
            position=row["position"],
            tenant_id=row["tenant_id"],
            type=row["event_type"],
            subject_id=row["subject_id"] or "",
            created_at=row["happened_at"] or row["created_at"],
            data=row.get("data"),
        ),
        status=DeliveryStatus(row["status"]),
        attempt_count=row["attempts"],
        created_at=row["created_at"],
        completed_at=row["completed_at"],
        next_attempt_at=None if row["sending"] else row["due_at"],
        attempts=attempts,
    )


async def queue_again(db: PoolConnection, *, delivery_id: str, now: datetime) -> bool:
    """Make a delivery due now, at the foot of its ladder; False while it is being sent."""
    queued = await db.fetchval(
        """
        INSERT INTO delivery_queue AS q (delivery_id, endpoint_id, due_at)
        SELECT id, endpoint_id, $2 FROM deliveries WHERE id = $1
        ON CONFLICT (delivery_id) DO UPDATE SET due_at = $2, step = 0, sending = false
        WHERE NOT q.sending OR q.due_at <= $2
        RETURNING true
        """,
        delivery_id,
        now,
    )
    if queued:
        await db.execute(
            "UPDATE deliveries SET status = 'pending', completed_at = NULL WHERE id = $1", delivery_id
        )
    return bool(queued)


async def insert_test_delivery(
    db: PoolConnection, *, delivery_id: str, endpoint_id: str, event: Event, outcome: Outcome, now: datetime
) -> None:
    """Keep a test that was sent: it is over, whatever came of it."""
    await db.execute(
        """
        INSERT INTO deliveries (id, tenant_id, endpoint_id, position, event_type, status, attempts,
                                created_at, completed_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8)
        """,
        delivery_id,
        event.tenant_id,
        endpoint_id,
        event.position,
        event.type,
        DeliveryStatus.DELIVERED if outcome.delivered else DeliveryStatus.ABANDONED,
        outcome.started_at,
        now,
    )
    await db.execute(
        """
        INSERT INTO delivery_attempts (delivery_id, number, started_at, duration_ms, response_status, error)
        VALUES ($1, 1, $2, $3, $4, $5)
        """,
        delivery_id,
        outcome.started_at,
        outcome.duration_ms,
        outcome.response_status,
        outcome.error,
    )


async def sweep_deliveries_of_deleted(db: Database, *, limit: int) -> int:
    """Delete up to `limit` deliveries of each of a few endpoints that are no more; returns how many went."""
    deleted: int = await db.fetchval(
        """
        WITH RECURSIVE named AS (
            (SELECT endpoint_id FROM deliveries ORDER BY endpoint_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.endpoint_id > named.endpoint_id
                    ORDER BY d.endpoint_id LIMIT 1)
            FROM named WHERE named.endpoint_id IS NOT NULL
        ), orphan AS (
            SELECT d.id FROM named n CROSS JOIN LATERAL (
                SELECT id FROM deliveries WHERE endpoint_id = n.endpoint_id LIMIT $1
            ) d
            WHERE NOT EXISTS (SELECT FROM endpoints e WHERE e.id = n.endpoint_id) LIMIT $1
        ), unqueued AS (
            DELETE FROM delivery_queue q USING orphan o WHERE q.delivery_id = o.id
        ), untried AS (
            DELETE FROM delivery_attempts a USING orphan o WHERE a.delivery_id = o.id
        ), gone AS (
            DELETE FROM deliveries d USING orphan o WHERE d.id = o.id RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        limit,
    )
    return deleted


async def forget_deliveries(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` deliveries that were made before a time, whatever became of them."""
    deleted: int = await db.fetchval(
        """
        WITH old AS (
            SELECT id FROM deliveries WHERE id < $1 ORDER BY id LIMIT $2
        ), unqueued AS (
            DELETE FROM delivery_queue q USING old o WHERE q.delivery_id = o.id
        ), untried AS (
            DELETE FROM delivery_attempts a USING old o WHERE a.delivery_id = o.id
        ), gone AS (
            DELETE FROM deliveries d USING old o WHERE d.id = o.id RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        floor_id("whd", before),
        limit,
    )
    return deleted
