"""The outbox: a queue of what is to be sent, claimed under a lease and settled once.

States of a row: waiting (`claimed` false, until `due_at`) → claimed (`due_at` is then the end of the
lease) → deleted, or waiting again. A row whose lease expired is claimed like one that is due: the
attempt may be repeated, it is not lost.

Every settlement names the fence of its claim and changes nothing once another claim has raised it.

Fairness, in every process:

- The connections are not a pool that one can fill: a tenant gets another one only while at least as many are
  free as it would then have, and a destination only while its tenant could have as many more. However many
  tenants have a backlog, one that has nothing in flight finds a free connection.
- The tenant with the least in flight is next, however long others have been due.
- Slow destinations (the last attempt failed or took long, none was made yet, or one has been waiting for its
  response for long) together have a part of the connections, which they share by the same rule.

In all processes together a destination has a limit of rows that are claimed at once.

What differs by kind (who the destinations are, what is sent, what an answer means) is in an
`OutboxSubject`: webhooks/sending.py and agents/calls.py. The loop is loops/sender.py.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import struct_from_row

DESTINATIONS_PER_CLAIM: Final = 512
"""How many destinations one claim looks at; the next claim continues after them."""


class OutboxKind(StrEnum):
    """What a row of the outbox is."""

    WEBHOOK = "webhook"
    AGENT = "agent"


class OutboxQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one kind: where they go, and how many are sent at once."""

    kind: OutboxKind
    destinations: str
    """SQL that selects `tenant_id`, `max_claimed` and `slow` of the destination `head.destination_id`, or no
    row where nothing may be sent to it now."""
    max_in_flight: int
    """In one process, like the following limits."""
    max_in_flight_per_tenant: int
    max_slow_in_flight: int
    """To slow destinations, all together."""
    max_claimed_if_slow: int
    """To one destination that this process found to be slow."""
    slow_seconds: float
    """A destination whose attempts take longer counts as slow, like one whose attempts fail."""
    lease_seconds: float


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is sending, as far as a claim depends on it."""

    by_tenant: Mapping[str, int] = {}
    slow_by_tenant: Mapping[str, int] = {}
    """How many of them go to slow destinations."""
    slow_destinations: Collection[str] = ()
    """Destinations that this process found to be slow."""


class OutboxClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed row; (id, fence) is its fencing token."""

    id: str
    destination_id: str
    tenant_id: str
    fence: int
    failed_attempts: int
    slow: bool = False
    """Whether the destination counted as slow."""


class OutboxBatch(msgspec.Struct, frozen=True):
    """The result of one claim."""

    claims: list[OutboxClaim]
    cursor: str | None
    """The destination after which the next claim continues; None: it starts with the first one."""
    next_due: datetime | None
    """When more is due, of the destinations that were looked at."""


class ClaimedItem(Protocol):
    """What a subject sends for a claim."""

    @property
    def claim(self) -> OutboxClaim:
        """The claim that it belongs to."""


Item = TypeVar("Item", bound=ClaimedItem)
Result = TypeVar("Result")


class Settlement(msgspec.Struct, Generic[Result], frozen=True, kw_only=True):
    """The end of a claim: deleted, or due again at `retry_at`. `result` None: nothing was attempted."""

    claim: OutboxClaim
    result: Result | None = None
    retry_at: datetime | None = None
    failed: bool = False
    """Whether the attempt was made and failed."""


class OutboxSubject(Protocol[Item, Result]):
    """A kind of row: how it is loaded and sent, and what the answer changes."""

    queue: OutboxQueue

    async def load(self, db: Database, claims: Sequence[OutboxClaim]) -> Sequence[Item]:
        """Return what is to be sent; a claim that needs no request may be settled here instead."""

    async def send(self, item: Item) -> Settlement[Result]:
        """Make one attempt. Raises only for what is not the destination's fault: database, vault key."""

    async def settle(self, db: Database, settlements: Sequence[Settlement[Result]]) -> set[str]:
        """Record attempts, in one transaction; return the ids of rows whose claim had been lost."""


_NEXT_HEADS: Final = f"""
    -- the earliest row of each of the next destinations, by a skip scan of the index
    (SELECT destination_id, due_at, 1 AS nth FROM outbox WHERE kind = $8 AND destination_id > ($2::text[])[1]
     ORDER BY destination_id, due_at LIMIT 1)
    UNION ALL
    SELECT following.destination_id, following.due_at, head.nth + 1
    FROM head CROSS JOIN LATERAL (
        SELECT q.destination_id, q.due_at FROM outbox q
        WHERE q.kind = $8 AND q.destination_id > head.destination_id
        ORDER BY q.destination_id, q.due_at LIMIT 1
    ) following
    WHERE head.nth < {DESTINATIONS_PER_CLAIM}
"""
_THESE_HEADS: Final = """
    -- the earliest row of each of these destinations
    SELECT first.destination_id, first.due_at, 0 AS nth
    FROM unnest($2::text[]) AS o (id) CROSS JOIN LATERAL (
        SELECT q.destination_id, q.due_at FROM outbox q WHERE q.kind = $8 AND q.destination_id = o.id
        ORDER BY q.due_at LIMIT 1
    ) first
"""
_CLAIM: Final = """
WITH RECURSIVE head AS (
    -- the earliest row of each destination that is looked at
    {heads}
), used AS (
    -- what this process has in flight
    SELECT * FROM unnest($5::text[], $6::integer[], $7::integer[]) AS u (tenant_id, number, slow)
), rest AS (
    -- how much more it may have in flight, in all and to slow destinations
    SELECT $9::integer - coalesce(sum(number), 0) AS free, $10::integer - coalesce(sum(slow), 0) AS free_slow
    FROM used
), open AS (
    -- of these destinations, those that may be sent to, and whose tenants may have more in flight
    SELECT head.destination_id, head.due_at AS head_due_at, k.*, r.free, r.free_slow,
           coalesce(u.number, 0) AS used, coalesce(u.slow, 0) AS used_slow, busy.number AS busy
    FROM head
    CROSS JOIN rest r
    CROSS JOIN LATERAL ({destinations}) d
    LEFT JOIN unnest($12::text[]) AS s (id) ON s.id = head.destination_id
    CROSS JOIN LATERAL (SELECT d.tenant_id, d.slow OR s.id IS NOT NULL AS slow,
        CASE WHEN s.id IS NULL THEN d.max_claimed ELSE least(d.max_claimed, $13) END AS max_claimed) k
    LEFT JOIN used u ON u.tenant_id = k.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM outbox b
        WHERE b.destination_id = head.destination_id AND b.claimed AND b.due_at > $1
    ) busy
    WHERE head.due_at <= $1 AND busy.number < k.max_claimed
      AND coalesce(u.number, 0) < least(r.free, $11)
      AND (NOT k.slow OR coalesce(u.slow, 0) < r.free_slow)
      AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = k.tenant_id AND t.status = 'suspended')
), destination AS (
    -- without those of which no row can be chosen below, as the first rows of others come before theirs
    SELECT n.* FROM (
        SELECT m.*, row_number() OVER (PARTITION BY m.slow ORDER BY m.nth, m.head_due_at) AS rank FROM (
            SELECT o.*, CASE WHEN o.slow THEN o.used_slow ELSE o.used END + row_number() OVER (
                PARTITION BY o.tenant_id, o.slow ORDER BY o.busy, o.head_due_at) AS nth
            FROM open o
        ) m
    ) n
    WHERE n.nth <= CASE WHEN n.slow THEN n.free_slow ELSE n.free END - n.rank + 1
), candidate AS (
    -- their due rows; `turn` is what the destination would have in flight with the row
    SELECT d.tenant_id, d.slow, d.free, d.free_slow, d.used, d.used_slow, c.*,
           d.busy + row_number() OVER (PARTITION BY d.destination_id ORDER BY c.due_at, c.id) AS turn
    FROM destination d CROSS JOIN LATERAL (
        SELECT q.id, q.due_at, q.fence FROM outbox q
        WHERE q.kind = $8 AND q.destination_id = d.destination_id AND q.due_at <= $1
        ORDER BY q.due_at
        LIMIT least(d.max_claimed - d.busy, 4 + 2 * $3 / (SELECT count(*) FROM destination))
    ) c
), within_slow_share AS (
    -- without those to slow destinations that do not fit into the part of the connections for these
    SELECT n.* FROM (
        SELECT m.*, row_number() OVER (PARTITION BY m.slow ORDER BY m.nth_slow, m.due_at) AS rank FROM (
            SELECT c.*, c.used_slow + row_number() OVER (
                PARTITION BY c.tenant_id, c.slow ORDER BY c.turn, c.due_at) AS nth_slow
            FROM candidate c
        ) m
    ) n WHERE NOT n.slow OR n.nth_slow <= n.free_slow - n.rank + 1
), shared AS (
    -- within the limits of each tenant and destination; `nth` is what the tenant would have in flight
    SELECT n.* FROM (
        SELECT u.*, u.used + row_number() OVER (PARTITION BY u.tenant_id ORDER BY u.turn, u.due_at) AS nth
        FROM within_slow_share u
    ) n WHERE n.nth <= $11 AND n.turn <= $11 - n.nth + 1
), chosen AS (
    -- those of tenants with the least in flight first, each leaving as many connections free as it has
    SELECT n.* FROM (
        SELECT s.*, row_number() OVER (ORDER BY s.nth, s.due_at) AS place FROM shared s
    ) n WHERE n.nth <= n.free - n.place + 1 ORDER BY n.place LIMIT $3
), locked AS (
    -- without those that another process claims at this moment
    SELECT c.id, c.tenant_id, c.slow FROM chosen c JOIN outbox q ON q.id = c.id AND q.fence = c.fence
    FOR UPDATE OF q SKIP LOCKED
), claimed AS (
    -- the rows that were claimed
    UPDATE outbox q SET claimed = true, due_at = $4, fence = q.fence + 1
    FROM locked l WHERE q.id = l.id
    RETURNING q.id, q.destination_id, l.tenant_id, q.fence, q.failed_attempts, l.slow
)
SELECT claimed.id, claimed.destination_id, claimed.tenant_id, claimed.fence, claimed.failed_attempts,
       claimed.slow,
       (SELECT destination_id FROM head WHERE nth = {most}) AS cursor,
       (SELECT min(due_at) FROM head WHERE due_at > $1) AS next_due
FROM (SELECT true) AS always LEFT JOIN claimed ON true
"""


async def claim_due(
    db: Database,
    queue: OutboxQueue,
    *,
    now: datetime,
    limit: int,
    cursor: str | None,
    in_flight: InFlight,
    only: Collection[str] = (),
) -> OutboxBatch:
    """Claim up to `limit` rows that are due, within the limits of the queue less what is `in_flight`.

    Looks at the destinations after `cursor`, or at these `only`.
    Nothing is claimed for suspended tenants.
    """
    by_tenant = in_flight.by_tenant
    rows = await db.fetch(
        _CLAIM.format(
            destinations=queue.destinations,
            most=DESTINATIONS_PER_CLAIM,
            heads=_THESE_HEADS if only else _NEXT_HEADS,
        ),
        *(now, list(only) or [cursor or ""], limit, now + timedelta(seconds=queue.lease_seconds)),
        *(list(by_tenant), list(by_tenant.values())),
        [in_flight.slow_by_tenant.get(tenant_id, 0) for tenant_id in by_tenant],
        *(queue.kind, queue.max_in_flight, queue.max_slow_in_flight, queue.max_in_flight_per_tenant),
        *(list(in_flight.slow_destinations), queue.max_claimed_if_slow),
    )
    claims = [struct_from_row(OutboxClaim, row) for row in rows if row["id"] is not None]
    return OutboxBatch(claims, rows[0]["cursor"], rows[0]["next_due"])


def enqueue_sql(kind: OutboxKind, source: str) -> str:
    """Return a statement that queues rows; `source` selects their id, destination_id and due_at."""
    return (
        "INSERT INTO outbox (kind, id, destination_id, due_at)"
        f" SELECT '{kind}', queued.* FROM ({source}) queued"
    )


async def send_now(
    db: PoolConnection, *, kind: OutboxKind, id: str, destination_id: str, now: datetime
) -> bool:
    """Make a row due now, with all retries before it, whether or not it is in the queue.

    Returns False while it is being sent.
    """
    queued = await db.fetchval(
        """
        INSERT INTO outbox AS q (kind, id, destination_id, due_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET due_at = $4, failed_attempts = 0, claimed = false
        WHERE NOT q.claimed OR q.due_at <= $4
        RETURNING true
        """,
        *(kind, id, destination_id, now),
    )
    return queued is not None


def settle_sql(attempts: str) -> str:
    """Return the CTEs `requeued`, `removed` and `settled` of a statement that records attempts.

    `attempts` is a CTE with id, fence and retry_at; `settled` has the ids of those whose claim was still
    held.
    """
    return f"""requeued AS (
    -- claims that were still held, to be sent again at `retry_at`
    UPDATE outbox q SET claimed = false, due_at = a.retry_at, failed_attempts = q.failed_attempts + 1
    FROM {attempts} a WHERE q.id = a.id AND q.fence = a.fence AND q.claimed AND a.retry_at IS NOT NULL
    RETURNING q.id
), removed AS (
    -- claims that were still held, with nothing more to send
    DELETE FROM outbox q USING {attempts} a
    WHERE q.id = a.id AND q.fence = a.fence AND q.claimed AND a.retry_at IS NULL
    RETURNING q.id
), settled AS (
    -- these two together
    SELECT id FROM requeued UNION ALL SELECT id FROM removed
)"""


async def release_claims(
    db: Database | PoolConnection, claims: Sequence[tuple[OutboxClaim, datetime]]
) -> set[str]:
    """Return rows to the queue, each until a time, without counting an attempt.

    Returns the ids of those whose claim was still held.
    """
    rows = await db.fetch(
        """
        UPDATE outbox q SET claimed = false, due_at = i.until
        FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS i (id, fence, until)
        WHERE q.id = i.id AND q.fence = i.fence AND q.claimed RETURNING q.id
        """,
        [claim.id for claim, _ in claims],
        [claim.fence for claim, _ in claims],
        [until for _, until in claims],
    )
    return {row["id"] for row in rows}
