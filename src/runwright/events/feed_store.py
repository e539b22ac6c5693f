"""SQL of the event feed and of lists of events: reading the log, and which tenants' events are streamed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.turns import in_turns
from runwright.db.pool import Database
from runwright.db.rows import struct_from_row
from runwright.events.event_filter import EventSelection
from runwright.events.log_position import LogSnapshot
from runwright.events.model import Event

DATA_LIMIT_BYTES: Final = 16 * 1024
"""The data of an event that has more is left out of feeds and lists."""

WATCH_SECONDS: Final = 120.0
"""For how long a tenant's events are kept after its last stream has ended, so that it can be resumed."""

_COLUMNS: Final = "e.position, e.tenant_id, e.type, e.subject_id, e.created_at, e.ancestry, j.worker_id"
_SMALL_DATA: Final = f"""
    CASE WHEN octet_length(e.data::text) <= {DATA_LIMIT_BYTES} THEN e.data END AS data,
    coalesce(octet_length(e.data::text) > {DATA_LIMIT_BYTES}, false) AS data_omitted
"""
_WORKER: Final = """
    LEFT JOIN jobs j ON (e.type LIKE 'job.%' OR e.type = 'attempt.failed')
        AND j.tenant_id = e.tenant_id AND j.id = e.subject_id
"""


_LARGEST: Final = 2**63 - 1


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is read from the log; large data is left out."""

    event: Event
    data_omitted: bool
    worker_id: str | None
    """The worker of a job's event."""


def _logged(row: Record) -> LoggedEvent:
    return struct_from_row(LoggedEvent, row, event=struct_from_row(Event, row))


async def fetch_snapshot(db: Database, *, number: bool) -> LogSnapshot:
    """Return the state of the log; `number`: with the number of a transaction that begins now."""
    row = await db.fetchrow(
        """
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
               (SELECT last_value FROM events_position_seq) AS last,
               CASE WHEN $1 THEN pg_current_xact_id()::text::bigint END AS number
        """,
        number,
    )
    return LogSnapshot(**dict(row or {}))


async def fetch_unseen(
    db: Database, *, tenant_ids: Collection[str], after: int, seen: Collection[int], limit: int
) -> Sequence[LoggedEvent]:
    """Return up to `limit` events of tenants after a position, without those seen, the oldest first."""
    rows = await db.fetch(
        f"""
        SELECT {_COLUMNS}, {_SMALL_DATA} FROM events e {_WORKER}
        WHERE e.position > $1 AND e.tenant_id = ANY ($2) AND e.position <> ALL ($3)
        ORDER BY e.position LIMIT $4
        """,
        *(after, list(tenant_ids), list(seen), limit),
    )
    return await in_turns(rows, _logged)


async def fetch_positions(
    db: Database, *, tenant_ids: Collection[str], after: int
) -> Mapping[str, Sequence[int]]:
    """Return the positions of each tenant's events after a position, in their order."""
    rows = await db.fetch(
        """
        SELECT tenant_id, array_agg(position ORDER BY position) AS positions FROM events
        WHERE position > $1 AND tenant_id = ANY ($2) GROUP BY tenant_id
        """,
        *(after, list(tenant_ids)),
    )
    return {row["tenant_id"]: row["positions"] for row in rows}


async def fetch_event(db: Database, *, tenant_id: str, position: int) -> LoggedEvent | None:
    """Return one event with all of its data."""
    if position > _LARGEST:
        return None
    row = await db.fetchrow(
        f"SELECT {_COLUMNS}, e.data, false AS data_omitted FROM events e {_WORKER}"
        " WHERE e.position = $1 AND e.tenant_id = $2",
        position,
        tenant_id,
    )
    return None if row is None else _logged(row)


class EventScan(msgspec.Struct, frozen=True, kw_only=True):
    """What a bounded scan found: the events that fit, and how far it came."""

    events: Sequence[LoggedEvent]
    count: int
    """How many events it looked at."""
    oldest: int | None
    """The position of the last of them."""
    oldest_at: datetime | None


_SCAN: Final = f"""
WITH scanned AS MATERIALIZED (
    -- the tenant's newest events before the position
    SELECT position, type, subject_id, created_at FROM events
    WHERE tenant_id = $1 AND position < coalesce($2, {_LARGEST}) ORDER BY position DESC LIMIT $3
), found AS (
    -- those of them that fit
    SELECT position FROM scanned s
    WHERE (cardinality($4::text[]) + cardinality($5::text[]) = 0 OR type = ANY ($4)
           OR EXISTS (SELECT FROM unnest($5::text[]) AS p (prefix) WHERE starts_with(s.type, p.prefix)))
      AND ($6::text[] IS NULL OR subject_id = ANY ($6))
      AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at <= $8)
    ORDER BY position DESC LIMIT $9
)
SELECT {_COLUMNS}, {_SMALL_DATA}, n.count, n.oldest, n.oldest_at
FROM (SELECT count(*) AS count, min(position) AS oldest, min(created_at) AS oldest_at FROM scanned) n
LEFT JOIN found f ON true LEFT JOIN events e ON e.position = f.position {_WORKER}
ORDER BY e.position DESC
"""


async def scan_events(
    db: Database, *, tenant_id: str, which: EventSelection, before: int | None, scanned: int, limit: int
) -> EventScan:
    """Look at up to `scanned` of a tenant's events before a position, and return up to `limit` that fit."""
    rows = await db.fetch(
        _SCAN,
        *(tenant_id, before, scanned, list(which.patterns.types), list(which.patterns.prefixes)),
        None if which.subject_ids is None else list(which.subject_ids),
        *(which.created_after, which.created_before, limit),
    )
    return EventScan(
        events=[_logged(row) for row in rows if row["position"] is not None],
        **{name: rows[0][name] for name in ("count", "oldest", "oldest_at")},
    )


async def keeps_events_from(db: Database, position: int) -> bool:
    """Return whether no event after a position has been deleted for its age."""
    kept = await db.fetchval(
        "SELECT $1 + 1 >= coalesce((SELECT min(position) FROM events),"
        " (SELECT last_value FROM events_position_seq))",
        position,
    )
    return bool(kept)


async def renew_watches(db: Database, tenant_ids: Collection[str]) -> dict[str, int]:
    """Keep all events of tenants for a while from now on; return the epoch of each tenant."""
    rows = await db.fetch(
        """
        INSERT INTO event_watches AS w (tenant_id, epoch, expires_at)
        SELECT tenant_id, (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
               clock_timestamp() + make_interval(secs => $2)
        FROM unnest($1::text[]) AS t (tenant_id) ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET expires_at = excluded.expires_at
        RETURNING tenant_id, epoch
        """,
        *(list(tenant_ids), WATCH_SECONDS),
    )
    return {row["tenant_id"]: row["epoch"] for row in rows}


async def prune_watches(db: Database, *, limit: int) -> int:
    """Delete up to `limit` watches that were not renewed; return how many."""
    rows = await db.fetch(
        """
        DELETE FROM event_watches WHERE tenant_id IN (
            SELECT tenant_id FROM event_watches WHERE expires_at < clock_timestamp()
            LIMIT $1 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        limit,
    )
    return len(rows)
