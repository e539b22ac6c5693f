"""Deliveries under way: made, claimed, settled.

States of a row of delivery_queue: waiting (`sending` false, until `due_at`) → sending (claimed;
`due_at` is then the end of the lease) → gone, or waiting again one step up the ladder. A lease that
ran out is claimed again like a row that is due: the attempt may be repeated, it is not lost.

Every settlement shows the fence of its claim and changes nothing where that has moved on.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import new_id
from runwright.db.pool import Database, PoolConnection
from runwright.events.model import Event
from runwright.outbox.model import ClaimedDelivery, Outcome
from runwright.secrets.model import EncryptedValue

LANE_WINDOW: Final = 512
HEALTHY_AT_ONCE: Final = 64
STRAINED_AT_ONCE: Final = 4
DEGRADED_AT_ONCE: Final = 1
STRAINED_MS: Final = 2_000
"""An attempt that took longer counts as strained, like one that failed."""


class Claimed(msgspec.Struct, frozen=True):
    """What a claim gave, where the next one goes on (None: from the first endpoint), when more is due."""

    parcels: list[ClaimedDelivery]
    cursor: str | None
    next_due: datetime | None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claimed delivery. `outcome` None: it was not tried, and goes back."""

    delivery_id: str
    fence: int
    outcome: Outcome | None
    retry_at: datetime | None
    gone: bool = False


async def insert_deliveries(db: PoolConnection, wanted: Sequence[tuple[Event, str]], now: datetime) -> int:
    """Make a delivery for each (event, endpoint), due at once, in the router's transaction.

    One that is there already stays as it is; an endpoint that is no more gets none.
    """
    made: int = await db.fetchval(
        """
        WITH item AS (
            SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
                AS i (id, endpoint_id, position, type)
        ), made AS (
            INSERT INTO deliveries (id, tenant_id, endpoint_id, position, event_type, status, created_at)
            SELECT i.id, e.tenant_id, e.id, i.position, i.type, 'pending', $5
            FROM item i JOIN endpoints e ON e.id = i.endpoint_id
            ON CONFLICT (position, endpoint_id) DO NOTHING RETURNING id, endpoint_id
        ), queued AS (
            INSERT INTO delivery_queue (delivery_id, endpoint_id, due_at) SELECT id, endpoint_id, $5 FROM made
        )
        SELECT count(*) FROM made
        """,
        [new_id("whd", now) for _ in wanted],
        [endpoint_id for _, endpoint_id in wanted],
        [event.position for event, _ in wanted],
        [event.type for event, _ in wanted],
        now,
    )
    return made


# A lane is what is under way to one endpoint. Turns within a lane go round before a lane gets its
# second one, and a tenant gets no more than its room, so a flood for one waits behind the first of all.
_CLAIM: Final = f"""
WITH RECURSIVE lane AS (
    (SELECT endpoint_id, due_at, 1 AS nth FROM delivery_queue WHERE endpoint_id > $2
     ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.due_at, lane.nth + 1
    FROM lane CROSS JOIN LATERAL (
        SELECT q.endpoint_id, q.due_at FROM delivery_queue q WHERE q.endpoint_id > lane.endpoint_id
        ORDER BY q.endpoint_id, q.due_at LIMIT 1
    ) following
    WHERE lane.nth < {LANE_WINDOW}
), open_lane AS (
    SELECT e.id AS endpoint_id, e.tenant_id, e.url, e.style,
           CASE WHEN e.status = 'degraded' THEN {DEGRADED_AT_ONCE} WHEN e.strained THEN {STRAINED_AT_ONCE}
                ELSE {HEALTHY_AT_ONCE} END - busy.parcels AS room
    FROM lane l
    JOIN endpoints e ON e.id = l.endpoint_id AND e.status <> 'paused' AND NOT e.gone
     AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = e.tenant_id AND t.status = 'suspended')
    CROSS JOIN LATERAL (
        SELECT count(*) AS parcels FROM delivery_queue b
        WHERE b.endpoint_id = l.endpoint_id AND b.sending AND b.due_at > $1
    ) busy
    WHERE l.due_at <= $1
), candidate AS (
    SELECT o.tenant_id, o.url, o.style, c.*,
           row_number() OVER (PARTITION BY o.endpoint_id ORDER BY c.due_at, c.delivery_id) AS turn
    FROM open_lane o CROSS JOIN LATERAL (
        SELECT q.delivery_id, q.endpoint_id, q.due_at, q.fence FROM delivery_queue q
        WHERE q.endpoint_id = o.endpoint_id AND q.due_at <= $1
        ORDER BY q.due_at LIMIT greatest(o.room, 0)
    ) c
), chosen AS (
    SELECT p.* FROM (
        SELECT c.*, coalesce(u.used, 0) + row_number() OVER (
            PARTITION BY c.tenant_id ORDER BY c.turn, c.due_at) AS nth_of_tenant
        FROM candidate c LEFT JOIN unnest($5::text[], $6::integer[]) AS u (tenant_id, used) USING (tenant_id)
    ) p
    WHERE p.nth_of_tenant <= $7 ORDER BY p.turn, p.due_at LIMIT $3
), locked AS (
    SELECT c.* FROM chosen c JOIN delivery_queue q ON q.delivery_id = c.delivery_id AND q.fence = c.fence
    FOR UPDATE OF q SKIP LOCKED
), claimed AS (
    UPDATE delivery_queue q SET sending = true, due_at = $4, fence = q.fence + 1
    FROM locked l WHERE q.delivery_id = l.delivery_id
    RETURNING q.delivery_id, q.endpoint_id, q.fence, q.step, l.url, l.style
)
SELECT c.*, v.position, v.tenant_id, v.type, v.subject_id, v.created_at, v.data, s.key_ids, s.sealed,
       (SELECT endpoint_id FROM lane WHERE nth = {LANE_WINDOW}) AS cursor,
       (SELECT min(due_at) FROM lane WHERE due_at > $1) AS next_due
FROM (SELECT true) AS always
LEFT JOIN (
    claimed c
    JOIN deliveries d ON d.id = c.delivery_id
    JOIN events v ON v.position = d.position
    CROSS JOIN LATERAL (
        SELECT array_agg(s.key_id ORDER BY s.number DESC) AS key_ids,
               array_agg(s.sealed ORDER BY s.number DESC) AS sealed
        FROM endpoint_secrets s
        WHERE s.endpoint_id = c.endpoint_id AND (s.expires_at IS NULL OR s.expires_at > $1)
    ) s
) ON true
"""


async def claim_deliveries(
    db: Database,
    *,
    now: datetime,
    limit: int,
    lease_seconds: float,
    cursor: str | None,
    used: Mapping[str, int],
    tenant_room: int,
) -> Claimed:
    """Claim up to `limit` deliveries that are due.

    Of an endpoint no more are under way at once than it bears, wherever they were claimed; of a
    tenant no more than `tenant_room`, `used` of them already here. Endpoints take turns. Paused and
    gone ones are passed over, and those of suspended tenants.
    """
    rows = await db.fetch(
        _CLAIM,
        now,
        cursor or "",
        limit,
        now + timedelta(seconds=lease_seconds),
        list(used),
        list(used.values()),
        tenant_room,
    )
    return Claimed(
        [_parcel(row) for row in rows if row["delivery_id"] is not None],
        rows[0]["cursor"],
        rows[0]["next_due"],
    )


def _parcel(row: Record) -> ClaimedDelivery:
    sealed = zip(row["key_ids"] or (), row["sealed"] or (), strict=True)
    return ClaimedDelivery(
        delivery_id=row["delivery_id"],
        fence=row["fence"],
        step=row["step"],
        endpoint_id=row["endpoint_id"],
        style=row["style"],
        url=row["url"],
        secrets=[EncryptedValue(key_id, content) for key_id, content in sealed],
        event=Event(
            position=row["position"],
            tenant_id=row["tenant_id"],
            type=row["type"],
            subject_id=row["subject_id"],
            created_at=row["created_at"],
            data=row["data"],
        ),
    )


_SETTLE: Final = """
WITH item AS (
    SELECT *, tried AND error IS NULL AS delivered,
           tried AND error IS NOT NULL AND retry_at IS NULL AS abandoned,
           tried AND (error IS NOT NULL OR duration_ms > $10) AS strained
    FROM unnest($1::text[], $2::integer[], $3::boolean[], $4::timestamptz[], $5::integer[], $6::integer[],
                $7::text[], $8::timestamptz[], $9::boolean[])
         AS i (delivery_id, fence, tried, started_at, duration_ms, response_status, error, retry_at, gone)
), waiting AS (
    UPDATE delivery_queue q
    SET sending = false, due_at = i.retry_at, step = q.step + CASE WHEN i.tried THEN 1 ELSE 0 END
    FROM item i WHERE q.delivery_id = i.delivery_id AND q.fence = i.fence AND q.sending
      AND NOT i.delivered AND NOT i.abandoned
    RETURNING q.delivery_id
), over AS (
    DELETE FROM delivery_queue q USING item i
    WHERE q.delivery_id = i.delivery_id AND q.fence = i.fence AND q.sending AND (i.delivered OR i.abandoned)
    RETURNING q.delivery_id
), held AS (
    SELECT i.* FROM item i JOIN (SELECT * FROM waiting UNION ALL SELECT * FROM over) h USING (delivery_id)
    WHERE i.tried
), told AS (
    UPDATE deliveries d SET attempts = d.attempts + 1,
        status = CASE WHEN h.delivered THEN 'delivered' WHEN h.abandoned THEN 'abandoned' ELSE d.status END,
        completed_at = CASE WHEN h.delivered OR h.abandoned
                       THEN h.started_at + make_interval(secs => h.duration_ms / 1000.0) END
    FROM held h WHERE d.id = h.delivery_id
    RETURNING d.id, d.endpoint_id, d.attempts, h.*
), tried AS (
    INSERT INTO delivery_attempts (delivery_id, number, started_at, duration_ms, response_status, error)
    SELECT id, attempts, started_at, duration_ms, response_status, error FROM told
), sign AS (
    SELECT endpoint_id, bool_or(delivered) AS delivered, bool_or(abandoned) AS abandoned,
           bool_or(gone) AS gone, bool_and(strained) AS strained
    FROM told GROUP BY endpoint_id
), changed AS (
    UPDATE endpoints e SET
        status = CASE WHEN e.status = 'paused' OR e.gone THEN e.status WHEN s.gone THEN 'degraded'
                 WHEN s.delivered THEN 'active' WHEN s.abandoned THEN 'degraded' ELSE e.status END,
        status_reason = CASE WHEN e.status = 'paused' OR e.gone THEN e.status_reason
                        WHEN s.gone THEN 'The endpoint answered 410: nothing is sent until a test succeeds.'
                        WHEN s.delivered THEN NULL
                        WHEN s.abandoned THEN 'The last attempt of a delivery failed.'
                        ELSE e.status_reason END,
        gone = e.gone OR (s.gone AND e.status <> 'paused'),
        strained = s.strained
    FROM sign s WHERE e.id = s.endpoint_id AND (
        e.strained <> s.strained OR (s.gone AND NOT e.gone)
        OR (e.status = 'active' AND s.abandoned) OR (e.status = 'degraded' AND s.delivered)
    )
    RETURNING e.id, e.gone
), unsubscribed AS (
    DELETE FROM subscriptions u USING changed c WHERE c.gone AND u.subscriber_id = c.id
)
SELECT delivery_id FROM waiting UNION ALL SELECT delivery_id FROM over
"""


async def settle_deliveries(db: Database, settlements: Sequence[Settlement]) -> set[str]:
    """Record how claimed deliveries went; returns those whose claim was still ours.

    In one statement: the attempt, the delivery's state, its place in the queue, and what follows
    for its endpoint (degraded, recovered, gone, strained). A settlement that is sent twice is
    recorded once.
    """
    outcomes = [one.outcome for one in settlements]
    rows = await db.fetch(
        _SETTLE,
        [one.delivery_id for one in settlements],
        [one.fence for one in settlements],
        [outcome is not None for outcome in outcomes],
        [outcome and outcome.started_at for outcome in outcomes],
        [outcome and outcome.duration_ms for outcome in outcomes],
        [outcome and outcome.response_status for outcome in outcomes],
        [outcome and outcome.error for outcome in outcomes],
        [one.retry_at for one in settlements],
        [one.gone for one in settlements],
        STRAINED_MS,
    )
    return {row["delivery_id"] for row in rows}
