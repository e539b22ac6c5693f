"""The SQL of pending deliveries: created by the router, loaded when claimed, settled after an attempt."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from runwright.core.ids import new_id
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row
from runwright.events.event_sql import append_watched_sql
from runwright.events.model import Event
from runwright.outbox.queue import (
    OutboxClaim,
    OutboxKind,
    OutboxQueue,
    Settlement,
    enqueue_sql,
    settle_sql,
)
from runwright.secrets.model import EncryptedValue
from runwright.webhooks.model import ClaimedDelivery, DeliveryOutcome

HEALTHY_MAX_CLAIMED: Final = 64
SLOW_MAX_CLAIMED: Final = 4
DEGRADED_MAX_CLAIMED: Final = 1
SLOW_MS: Final = 2_000
"""An endpoint whose attempts took longer counts as slow, like one whose attempts failed."""

WEBHOOK_QUEUE: Final = OutboxQueue(
    kind=OutboxKind.WEBHOOK,
    destinations=f"""
        SELECT e.tenant_id, CASE WHEN e.status = 'degraded' THEN {DEGRADED_MAX_CLAIMED}
            WHEN e.strained THEN {SLOW_MAX_CLAIMED} ELSE {HEALTHY_MAX_CLAIMED} END AS max_claimed,
            e.strained OR e.status = 'degraded' AS slow
        FROM endpoints e WHERE e.id = head.destination_id AND e.status <> 'paused' AND NOT e.gone
    """,
    max_in_flight=256,
    max_in_flight_per_tenant=128,
    max_slow_in_flight=64,
    max_claimed_if_slow=SLOW_MAX_CLAIMED,
    slow_seconds=SLOW_MS / 1000,
    lease_seconds=30.0,
)

_CREATED_EVENTS: Final = append_watched_sql(
    """SELECT tenant_id, 'delivery.created', id, $5::timestamptz,
           json_build_object('endpoint_id', endpoint_id, 'event_type', event_type)
    FROM created"""
)
_SETTLED_EVENTS: Final = append_watched_sql(
    """SELECT tenant_id,
           CASE WHEN delivered THEN 'delivery.delivered' WHEN abandoned THEN 'delivery.abandoned'
                ELSE 'delivery.failed' END,
           id, started_at + make_interval(secs => duration_ms / 1000.0),
           json_build_object('endpoint_id', endpoint_id, 'attempt', number,
                             'response_status', response_status, 'retry_at', retry_at)
    FROM updated"""
)

_INSERT: Final = f"""
WITH item AS (
    -- the pairs of an event and an endpoint
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
        AS i (id, endpoint_id, position, type)
), created AS (
    -- the deliveries that did not exist
    INSERT INTO deliveries (id, tenant_id, endpoint_id, position, event_type, status, created_at)
    SELECT i.id, e.tenant_id, e.id, i.position, i.type, 'pending', $5
    FROM item i JOIN endpoints e ON e.id = i.endpoint_id
    ON CONFLICT (position, endpoint_id) DO NOTHING RETURNING id, tenant_id, endpoint_id, event_type
), {_CREATED_EVENTS}, queued AS (
    -- all of them, due at once
    {enqueue_sql(OutboxKind.WEBHOOK, "SELECT id, endpoint_id, $5::timestamptz FROM created")}
)
SELECT count(*) FROM created
"""


async def insert_deliveries(db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime) -> int:
    """Create a delivery for each (event, endpoint), due at once, in the router's transaction.

    Returns how many were created: one that exists is left unchanged, a deleted endpoint gets none.
    """
    created: int = await db.fetchval(
        _INSERT,
        [new_id("whd", now) for _ in pairs],
        [endpoint_id for _, endpoint_id in pairs],
        [event.position for event, _ in pairs],
        [event.type for event, _ in pairs],
        now,
    )
    return created


async def load_deliveries(
    db: Database, claims: Sequence[OutboxClaim], now: datetime
) -> Sequence[ClaimedDelivery]:
    """Return claimed deliveries with their events and the secrets that sign now, the newest first."""
    rows = await db.fetch(
        """
        SELECT d.id, e.style, e.url, v.position, v.tenant_id, v.type, v.subject_id, v.created_at, v.data,
               s.key_ids, s.sealed
        FROM unnest($1::text[]) AS claimed (id)
        JOIN deliveries d ON d.id = claimed.id
        JOIN endpoints e ON e.id = d.endpoint_id
        JOIN events v ON v.position = d.position
        CROSS JOIN LATERAL (
            SELECT array_agg(s.key_id ORDER BY s.number DESC) AS key_ids,
                   array_agg(s.sealed ORDER BY s.number DESC) AS sealed
            FROM endpoint_secrets s
            WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > $2)
        ) s
        """,
        [claim.id for claim in claims],
        now,
    )
    by_id = {claim.id: claim for claim in claims}
    return [_claimed_delivery(by_id[row["id"]], row) for row in rows]


def _claimed_delivery(claim: OutboxClaim, row: Record) -> ClaimedDelivery:
    sealed = zip(row["key_ids"] or (), row["sealed"] or (), strict=True)
    return struct_from_row(
        ClaimedDelivery,
        row,
        claim=claim,
        secrets=[EncryptedValue(key_id, content) for key_id, content in sealed],
        event=struct_from_row(Event, row),
    )


_SETTLE: Final = f"""
WITH attempt AS (
    -- what was tried, and whether it was the last attempt
    SELECT *, error IS NULL AS delivered, error IS NOT NULL AND retry_at IS NULL AS abandoned,
           error IS NOT NULL OR duration_ms > $9 AS slow
    FROM unnest($1::text[], $2::integer[], $3::timestamptz[], $4::timestamptz[], $5::integer[], $6::integer[],
                $7::text[], $8::boolean[])
         AS a (id, fence, retry_at, started_at, duration_ms, response_status, error, gone)
), {settle_sql("attempt")}, updated AS (
    -- the deliveries whose claim was still held
    UPDATE deliveries d SET attempts = d.attempts + 1,
        status = CASE WHEN a.delivered THEN 'delivered' WHEN a.abandoned THEN 'abandoned' ELSE d.status END,
        completed_at = CASE WHEN a.delivered OR a.abandoned
                       THEN a.started_at + make_interval(secs => a.duration_ms / 1000.0) END
    FROM attempt a JOIN settled USING (id) WHERE d.id = a.id
    RETURNING d.tenant_id, d.endpoint_id, d.attempts AS number, a.*
), {_SETTLED_EVENTS}, recorded AS (
    -- one row for each attempt
    INSERT INTO delivery_attempts (delivery_id, number, started_at, duration_ms, response_status, error)
    SELECT id, number, started_at, duration_ms, response_status, error FROM updated
), endpoint AS (
    -- the outcome of these attempts for each endpoint
    SELECT endpoint_id, bool_or(delivered) AS delivered, bool_or(abandoned) AS abandoned,
           bool_or(gone) AS gone, bool_and(slow) AS slow
    FROM updated GROUP BY endpoint_id
), changed AS (
    -- degraded, recovered, gone, slow; written only where something changes
    UPDATE endpoints e SET
        status = CASE WHEN e.status = 'paused' OR e.gone THEN e.status WHEN s.gone THEN 'degraded'
                 WHEN s.delivered THEN 'active' WHEN s.abandoned THEN 'degraded' ELSE e.status END,
        status_reason = CASE WHEN e.status = 'paused' OR e.gone THEN e.status_reason
                        WHEN s.gone THEN 'The endpoint answered 410: nothing is sent until a test succeeds.'
                        WHEN s.delivered THEN NULL
                        WHEN s.abandoned THEN 'The last attempt of a delivery failed.'
                        ELSE e.status_reason END,
        gone = e.gone OR (s.gone AND e.status <> 'paused'),
        strained = s.slow
    FROM endpoint s WHERE e.id = s.endpoint_id AND (
        e.strained <> s.slow OR (s.gone AND NOT e.gone)
        OR (e.status = 'active' AND s.abandoned) OR (e.status = 'degraded' AND s.delivered)
    )
    RETURNING e.id, e.gone
), unsubscribed AS (
    -- no events are kept for an endpoint that is gone
    DELETE FROM subscriptions u USING changed c WHERE c.gone AND u.subscriber_id = c.id
)
SELECT id FROM settled
"""


async def settle_deliveries(db: Database, settlements: Sequence[Settlement[DeliveryOutcome]]) -> set[str]:
    """Record attempts; return the ids of the deliveries whose claim was still held.

    One statement writes the attempt, the delivery's state, its place in the queue, and what follows for
    its endpoint (degraded, recovered, gone, slow). A settlement that is sent twice is recorded once.
    """
    attempts = [(one, one.result) for one in settlements if one.result is not None]
    rows = await db.fetch(
        _SETTLE,
        [one.claim.id for one, _ in attempts],
        [one.claim.fence for one, _ in attempts],
        [one.retry_at for one, _ in attempts],
        [outcome.started_at for _, outcome in attempts],
        [outcome.duration_ms for _, outcome in attempts],
        [outcome.response_status for _, outcome in attempts],
        [outcome.error for _, outcome in attempts],
        [outcome.gone for _, outcome in attempts],
        SLOW_MS,
    )
    return {row["id"] for row in rows}
