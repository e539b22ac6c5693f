"""The SQL of stored deliveries: lists, redelivery, tests, and deletion of old ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.ids import DeliveryId, EndpointId, floor_id
from runwright.core.paging import Listing, PageRequest, View, Window
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import insert_row, row_of, struct_from_row
from runwright.events.model import Event
from runwright.outbox.queue import OutboxKind, send_now
from runwright.webhooks.model import Delivery, DeliveryAttempt, DeliveryOutcome, DeliveryStatus

_ATTEMPTS_SHOWN: Final = 20
_COLUMNS: Final = """
    d.id, d.tenant_id, d.endpoint_id, d.position, d.event_type AS type, d.status, d.attempts AS attempt_count,
    d.created_at, d.completed_at, CASE WHEN q.claimed THEN NULL ELSE q.due_at END AS next_attempt_at,
    coalesce(e.subject_id, '') AS subject_id, coalesce(e.created_at, d.created_at) AS happened_at
"""
_COLUMNS_AND_DATA: Final = f"{_COLUMNS}, e.data"
_JOINS: Final = """
    LEFT JOIN outbox q ON q.id = d.id LEFT JOIN events e ON e.position = d.position
"""
_LISTED: Final = Rows(columns=_COLUMNS, table="deliveries d", joins=_JOINS, key="d.id")


async def list_deliveries(
    db: Database, *, endpoint_id: str, status: DeliveryStatus | None, page: PageRequest
) -> Listing[Delivery]:
    """Return a page of an endpoint's deliveries, newest first."""
    where = Conditions("d.endpoint_id = $1", endpoint_id)
    where.add("d.status = {}", status)
    found = await fetch_page(db, _LISTED, where, page)
    attempts = await _fetch_attempts(db, [row["id"] for row in found.rows])
    return found.map(lambda row: _delivery(row, attempts.get(row["id"], [])))


async def fetch_delivery(
    db: Database | PoolConnection, *, endpoint_id: EndpointId, delivery_id: DeliveryId
) -> Delivery | None:
    """Return one delivery of an endpoint."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM deliveries d {_JOINS} WHERE d.id = $1 AND d.endpoint_id = $2",
        delivery_id,
        endpoint_id,
    )
    if row is None:
        return None
    attempts = await _fetch_attempts(db, [delivery_id])
    return _delivery(row, attempts.get(delivery_id, []))


async def view_deliveries(db: Database, *, tenant_id: str, style: str, window: Window) -> View[Delivery]:
    """Return a window of the deliveries to a tenant's endpoints of a style.

    A tenant has few endpoints: the first rows of each are read by its index and sorted together.
    """
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS_AND_DATA} FROM (
            SELECT one.* FROM endpoints p CROSS JOIN LATERAL (
                SELECT * FROM deliveries WHERE endpoint_id = p.id
                AND ($3::text IS NULL OR id < $3) AND ($4::text IS NULL OR id > $4)
                ORDER BY id {window.order} LIMIT $5
            ) one WHERE p.tenant_id = $1 AND p.style = $2 ORDER BY one.id {window.order} LIMIT $5
        ) d {_JOINS} ORDER BY d.id {window.order}
        """,
        tenant_id,
        style,
        window.older_than,
        window.newer_than,
        window.limit + 1,
    )
    attempts = await _fetch_attempts(db, [row["id"] for row in rows])
    return View.of([_delivery(row, attempts.get(row["id"], [])) for row in rows], window)


async def fetch_delivery_of_tenant(
    db: Database, *, tenant_id: str, style: str, delivery_id: DeliveryId
) -> Delivery | None:
    """Return one delivery to an endpoint of the tenant that has this style."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS_AND_DATA} FROM deliveries d JOIN endpoints p ON p.id = d.endpoint_id {_JOINS}
        WHERE d.id = $1 AND p.tenant_id = $2 AND p.style = $3
        """,
        delivery_id,
        tenant_id,
        style,
    )
    if row is None:
        return None
    attempts = await _fetch_attempts(db, [delivery_id])
    return _delivery(row, attempts.get(delivery_id, []))


async def _fetch_attempts(
    db: Database | PoolConnection, delivery_ids: Sequence[str]
) -> dict[str, list[DeliveryAttempt]]:
    rows = await db.fetch(
        f"""
        SELECT a.* FROM unnest($1::text[]) AS listed (id) CROSS JOIN LATERAL (
            SELECT delivery_id, number, started_at, duration_ms, response_status, error
            FROM delivery_attempts WHERE delivery_id = listed.id ORDER BY number DESC LIMIT {_ATTEMPTS_SHOWN}
        ) a ORDER BY a.number
        """,
        delivery_ids,
    )
    found: dict[str, list[DeliveryAttempt]] = {}
    for row in rows:
        found.setdefault(row["delivery_id"], []).append(struct_from_row(DeliveryAttempt, row))
    return found


def _delivery(row: Record, attempts: list[DeliveryAttempt]) -> Delivery:
    event = struct_from_row(Event, row, created_at=row["happened_at"])
    return struct_from_row(Delivery, row, event=event, attempts=attempts)


async def requeue_delivery(
    db: PoolConnection, *, endpoint_id: EndpointId, delivery_id: DeliveryId, now: datetime
) -> bool:
    """Make a delivery due now, with all retries before it; False while it is being sent."""
    queued = await send_now(db, kind=OutboxKind.WEBHOOK, id=delivery_id, destination_id=endpoint_id, now=now)
    if queued:
        await db.execute(
            "UPDATE deliveries SET status = 'pending', completed_at = NULL WHERE id = $1", delivery_id
        )
    return queued


async def insert_test_delivery(
    db: PoolConnection,
    *,
    delivery_id: DeliveryId,
    endpoint_id: EndpointId,
    event: Event,
    outcome: DeliveryOutcome,
    now: datetime,
) -> None:
    """Store a test and its only attempt."""
    await insert_row(
        db,
        "deliveries",
        {
            "id": delivery_id,
            "tenant_id": event.tenant_id,
            "endpoint_id": endpoint_id,
            "position": event.position,
            "event_type": event.type,
            "status": DeliveryStatus.DELIVERED if outcome.delivered else DeliveryStatus.ABANDONED,
            "attempts": 1,
            "created_at": outcome.started_at,
            "completed_at": now,
        },
    )
    await insert_row(
        db,
        "delivery_attempts",
        {"delivery_id": delivery_id, "number": 1} | row_of(outcome, without=("retry_after",)),
    )


async def prune_orphaned_deliveries(db: Database, *, limit: int) -> int:
    """Delete up to `limit` deliveries of deleted endpoints; return how many."""
    deleted: int = await db.fetchval(
        """
        WITH RECURSIVE named AS (
            -- the endpoints that have deliveries, by a skip scan of the index
            (SELECT endpoint_id FROM deliveries ORDER BY endpoint_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.endpoint_id > named.endpoint_id
                    ORDER BY d.endpoint_id LIMIT 1)
            FROM named WHERE named.endpoint_id IS NOT NULL
        ), orphan AS (
            -- up to $1 deliveries of those endpoints that do not exist any more
            SELECT d.id FROM named n CROSS JOIN LATERAL (
                SELECT id FROM deliveries WHERE endpoint_id = n.endpoint_id LIMIT $1
            ) d
            WHERE NOT EXISTS (SELECT FROM endpoints e WHERE e.id = n.endpoint_id) LIMIT $1
        ), unqueued AS (
            -- their rows in the outbox
            DELETE FROM outbox q USING orphan o WHERE q.id = o.id
        ), attempts AS (
            -- their attempts
            DELETE FROM delivery_attempts a USING orphan o WHERE a.delivery_id = o.id
        ), deleted AS (
            -- one row for each deleted delivery
            DELETE FROM deliveries d USING orphan o WHERE d.id = o.id RETURNING 1
        )
        SELECT count(*) AS deleted FROM deleted
        """,
        limit,
    )
    return deleted


async def prune_deliveries(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` deliveries that were created before a time, in any state; return how many."""
    deleted: int = await db.fetchval(
        """
        WITH old AS (
            -- up to $2 of the oldest deliveries, by their ids
            SELECT id FROM deliveries WHERE id < $1 ORDER BY id LIMIT $2
        ), unqueued AS (
            -- their rows in the outbox
            DELETE FROM outbox q USING old o WHERE q.id = o.id
        ), attempts AS (
            -- their attempts
            DELETE FROM delivery_attempts a USING old o WHERE a.delivery_id = o.id
        ), deleted AS (
            -- one row for each deleted delivery
            DELETE FROM deliveries d USING old o WHERE d.id = o.id RETURNING 1
        )
        SELECT count(*) AS deleted FROM deleted
        """,
        floor_id("whd", before),
        limit,
    )
    return deleted
