"""SQL of ticks: lock due schedules, and record the results of their ticks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import floor_id, time_of
from runwright.core.paging import Listing, PageRequest
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import columns_of, struct_from_row
from runwright.events.event_sql import append_sql, has_readers_sql
from runwright.schedules.model import Schedule, Tick
from runwright.schedules.store.schedules import COLUMNS, schedule_from_row
from runwright.schedules.tick_policy import TickStatus


class DueSchedule(msgspec.Struct, frozen=True):
    """A locked schedule with a due tick; `busy`: the job of its last firing has not ended."""

    schedule: Schedule
    busy: bool


class CursorAdvance(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of a schedule's cursor; last_run_at, last_job_id and anchor_at stay unchanged if None."""

    schedule_id: str
    enabled: bool
    next_run_at: datetime | None
    due_at: datetime | None
    last_tick_at: datetime
    last_run_at: datetime | None
    last_job_id: str | None
    missed: int
    anchor_at: datetime | None = None
    """The new start of the grid of an interval."""


async def lock_due(
    db: PoolConnection, *, now: datetime, limit: int, only: str | None = None
) -> list[DueSchedule]:
    """Lock up to `limit` schedules with a due tick, the longest due first; locked ones are skipped.

    Every enabled schedule whose cursor is due is eligible. The ticks are judged and the cursor is advanced
    in the transaction that holds the lock, so no tick is judged twice; if it is rolled back, the next
    transaction that locks the schedule judges them.
    """
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS}, s.overlap = 'skip' AND EXISTS (
            SELECT FROM job_queue q WHERE q.tenant_id = s.tenant_id AND q.job_id = s.last_job_id
        ) AS busy
        FROM schedules s
        WHERE s.due_at <= $1 AND ($3::text IS NULL OR s.id = $3)
        ORDER BY s.due_at, s.id LIMIT $2 FOR UPDATE OF s SKIP LOCKED
        """,
        now,
        limit,
        only,
    )
    return [DueSchedule(schedule_from_row(row), row["busy"]) for row in rows]


async def due_ids(db: Database, *, now: datetime, limit: int) -> list[str]:
    """Return the ids of schedules with a due tick, without locking them."""
    rows = await db.fetch(
        "SELECT id FROM schedules WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2", now, limit
    )
    return [row[0] for row in rows]


async def next_due_at(db: Database) -> datetime | None:
    """Return when the next tick of any schedule is due."""
    at: datetime | None = await db.fetchval("SELECT min(due_at) FROM schedules WHERE due_at IS NOT NULL")
    return at


_SUBSCRIBED: Final = " OR ".join(
    has_readers_sql("s.tenant_id", f"schedule.{outcome}") for outcome in ("fired", "skipped")
)
_EVENTS: Final = append_sql(
    f"""SELECT s.tenant_id, CASE t.status WHEN 'fired' THEN 'schedule.fired' ELSE 'schedule.skipped' END,
           s.id, t.decided_at,
           CASE WHEN {_SUBSCRIBED}
                THEN json_build_object('schedule', row_to_json(s), 'tick', row_to_json(t)) END
    FROM reported t JOIN schedules s ON s.id = t.schedule_id AND s.owner = 'worker'"""
)
"""The events contain schedule and tick, because the one may change and the other may be pruned.
The runs of automations have events of their own."""

_RECORD: Final = f"""
WITH
-- the results of the ticks
tick AS (
    INSERT INTO ticks
        (schedule_id, scheduled_for, due_at, status, reason, job_id, decided_at, count, through, origin)
    SELECT * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                         $8::timestamptz[], $9::integer[], $10::timestamptz[], $11::text[])
    RETURNING *
),
-- the ticks that have an event: of those that a schedule missed, the latest
reported AS (
    SELECT * FROM tick WHERE status <> 'missed'
    UNION ALL
    (SELECT DISTINCT ON (schedule_id) * FROM tick WHERE status = 'missed'
     ORDER BY schedule_id, scheduled_for DESC)
),
-- the events of the ticks
{_EVENTS}
UPDATE schedules s
SET enabled = a.enabled, next_run_at = a.next_run_at, due_at = a.due_at,
    last_tick_at = greatest(s.last_tick_at, a.last_tick_at),
    last_run_at = coalesce(a.last_run_at, s.last_run_at),
    last_job_id = coalesce(a.last_job_id, s.last_job_id),
    missed_count = s.missed_count + a.missed,
    misfires = s.misfires + CASE WHEN a.missed > 0 THEN 1 ELSE 0 END,
    last_misfire_at = CASE WHEN a.missed > 0 THEN $21 ELSE s.last_misfire_at END,
    anchor_at = coalesce(a.anchor_at, s.anchor_at),
    moved_at = $21,
    zone_rules = $1
FROM unnest($12::text[], $13::boolean[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[],
            $17::timestamptz[], $18::text[], $19::bigint[], $20::timestamptz[])
     AS a (id, enabled, next_run_at, due_at, last_tick_at, last_run_at, last_job_id, missed, anchor_at)
WHERE s.id = a.id
"""


async def record_ticks(
    db: PoolConnection,
    *,
    ticks: Sequence[Tick],
    advances: Sequence[CursorAdvance],
    now: datetime,
    zone_rules: str,
) -> None:
    """Record ticks, publish their events, and advance the cursors.

    The missed ticks of a schedule have one event, however many they are.
    """
    await db.execute(
        _RECORD,
        zone_rules,
        *columns_of(ticks, len(Tick.__struct_fields__)),
        *columns_of(advances, len(CursorAdvance.__struct_fields__)),
        now,
    )


def _tick(row: Record) -> Tick:
    return struct_from_row(Tick, row)


_LISTED: Final = Rows(
    columns="*",
    table="ticks",
    key="scheduled_for",
    cursor_of=lambda row: floor_id("tck", row["scheduled_for"]),
    key_of=time_of,
)


async def list_ticks(
    db: Database, *, schedule_id: str, status: TickStatus | None, page: PageRequest
) -> Listing[Tick]:
    """Return a page of the ticks of a schedule, by descending nominal time.

    A tick has no id: its cursor is the id that a tick of its nominal time would have.
    """
    where = Conditions("schedule_id = $1", schedule_id)
    where.add("status = {}", status)
    return (await fetch_page(db, _LISTED, where, page)).map(_tick)


async def prune_ticks(db: Database, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` ticks that were judged before then; return their number."""
    rows = await db.fetch(
        """
        DELETE FROM ticks WHERE (schedule_id, scheduled_for) IN (
            SELECT schedule_id, scheduled_for FROM ticks WHERE decided_at < $1
            ORDER BY decided_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
        """,
        before,
        limit,
    )
    return len(rows)
