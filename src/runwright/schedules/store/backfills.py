"""SQL of backfills, and of the ticks that they and users write."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from asyncpg import Record

from runwright.core.ids import BackfillId, ScheduleId
from runwright.cron.zones import RULES_VERSION
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row
from runwright.schedules.model import Backfill, Tick, TickOrigin
from runwright.schedules.store.ticks import record_ticks
from runwright.schedules.tick_policy import TickStatus, Timing

TABLE: Final = "schedule_backfills"
_COLUMNS: Final = column_list(Backfill)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MANUAL_SPAN: Final = timedelta(minutes=1)
_GAP_PAGE: Final = 200


class BackfillProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did. `visited_at`: up to where; `over`: there are no more firings."""

    done: int = 0
    failed: int = 0
    error: str | None = None
    visited_at: datetime
    over: bool


async def insert_backfill(db: PoolConnection, backfill: Backfill) -> bool:
    """Insert a backfill; return False where one of the same schedule is running."""
    row = row_of(backfill) | {"visited_at": backfill.from_at - _MILLISECOND}
    return await insert_row(db, "schedule_backfills", row, "ON CONFLICT DO NOTHING")


async def fetch_backfill(
    db: Database | PoolConnection, *, tenant_id: str, schedule_id: ScheduleId, backfill_id: BackfillId
) -> Backfill | None:
    """Return one backfill of a schedule."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS} FROM schedule_backfills WHERE tenant_id = $1 AND schedule_id = $2 AND id = $3",
        tenant_id,
        schedule_id,
        backfill_id,
    )
    return None if row is None else _backfill(row)


async def lock_next_backfill(db: PoolConnection, *, now: datetime) -> tuple[Backfill, datetime] | None:
    """Lock the running backfill that has been due longest; return it and up to where it has come."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS}, visited_at FROM schedule_backfills WHERE status = 'running' AND due_at <= $1
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        """,
        now,
    )
    return None if row is None else (_backfill(row), row["visited_at"])


async def save_backfill_progress(
    db: PoolConnection, backfill: Backfill, progress: BackfillProgress, *, now: datetime
) -> None:
    """Add what a step did, and end the backfill where that was all."""
    await db.execute(
        """
        UPDATE schedule_backfills
        SET done = done + $2, failed = failed + $3, visited_at = $5, due_at = $7,
            matched = greatest(matched, done + failed + $2 + $3),
            skipped = CASE WHEN $6 THEN greatest(matched - done - failed - $2 - $3, 0) ELSE 0 END,
            error = coalesce($4, CASE WHEN failed > 0 THEN error END),
            status = CASE WHEN $6 THEN 'completed' ELSE status END,
            completed_at = CASE WHEN $6 THEN $7::timestamptz END
        WHERE id = $1
        """,
        backfill.id,
        progress.done,
        progress.failed,
        progress.error,
        progress.visited_at,
        progress.over,
        now,
    )


async def end_backfill(
    db: Database | PoolConnection, backfill_id: str, *, error: str | None, now: datetime
) -> bool:
    """End a backfill before it is complete; return False where it is not running."""
    ended = await db.fetchval(
        """
        UPDATE schedule_backfills SET status = 'cancelled', error = $2, due_at = $3, completed_at = $3
        WHERE id = $1 AND status = 'running' RETURNING true
        """,
        backfill_id,
        error,
        now,
    )
    return ended is not None


async def fired_times(
    db: Database | PoolConnection, schedule_id: str, *, first: datetime, last: datetime
) -> frozenset[datetime]:
    """Return the nominal times from one instant to another that have fired."""
    rows = await db.fetch(
        "SELECT scheduled_for FROM ticks"
        " WHERE schedule_id = $1 AND scheduled_for BETWEEN $2 AND $3 AND status = 'fired'",
        schedule_id,
        first,
        last,
    )
    return frozenset(row["scheduled_for"] for row in rows)


async def manual_time(db: PoolConnection, schedule_id: str, now: datetime) -> datetime:
    """Return the time of a tick of a locked schedule that a user fires now.

    It is no whole second, as those that an expression names are, and no tick has it.
    """
    rows = await db.fetch(
        "SELECT scheduled_for FROM ticks WHERE schedule_id = $1 AND scheduled_for BETWEEN $2 AND $3",
        schedule_id,
        now - _MANUAL_SPAN,
        now,
    )
    taken = {row["scheduled_for"] for row in rows}
    while now in taken or not now.microsecond:
        now -= _MILLISECOND
    return now


async def record_fired(db: PoolConnection, ticks: Sequence[Tick], timing: Timing, *, now: datetime) -> None:
    """Record ticks of a locked schedule that have fired, in place of what was recorded for their times."""
    if not ticks:
        return
    await _shrink_gaps(db, ticks, timing)
    times = [tick.scheduled_for for tick in ticks]
    await db.execute(
        "DELETE FROM ticks WHERE schedule_id = $1 AND scheduled_for = ANY ($2) AND status <> 'fired'",
        ticks[0].schedule_id,
        times,
    )
    await record_ticks(db, ticks=ticks, advances=[], now=now, zone_rules=RULES_VERSION)


async def _shrink_gaps(db: PoolConnection, ticks: Sequence[Tick], timing: Timing) -> None:
    """Take times that are fired now out of the rows that record many missed ones; a row may begin later."""
    schedule_id, times = ticks[0].schedule_id, frozenset(tick.scheduled_for for tick in ticks)
    gaps = await db.fetch(
        "SELECT * FROM ticks WHERE schedule_id = $1 AND count > 1 AND scheduled_for <= $2 AND through >= $3",
        schedule_id,
        max(times),
        min(times),
    )
    for gap in (struct_from_row(Tick, row) for row in gaps):
        assert gap.through is not None  # noqa: S101  it has a count
        known = await _recorded(db, schedule_id, times)
        taken = {at for at in times if gap.scheduled_for < at <= gap.through and at not in known}
        left = gap.count - len(taken) - (gap.scheduled_for in times)
        begins: datetime | None = gap.scheduled_for
        if gap.scheduled_for in times:
            begins = await _free_time(db, gap, timing, times) if left else None
        await _move_gap(db, gap, begins, max(left, 1))


async def _recorded(db: PoolConnection, schedule_id: str, times: Collection[datetime]) -> frozenset[datetime]:
    rows = await db.fetch(
        "SELECT scheduled_for FROM ticks WHERE schedule_id = $1 AND scheduled_for = ANY ($2)",
        schedule_id,
        list(times),
    )
    return frozenset(row["scheduled_for"] for row in rows)


async def _free_time(
    db: PoolConnection, gap: Tick, timing: Timing, times: Collection[datetime]
) -> datetime | None:
    """Return the first nominal time of a gap after its own that is neither among `times` nor recorded."""
    at = timing.next_after(gap.scheduled_for)
    while at is not None and gap.through is not None and at <= gap.through:
        page: list[datetime] = []
        while at is not None and at <= gap.through and len(page) < _GAP_PAGE:
            page.append(at)
            at = timing.next_after(at)
        known = await _recorded(db, gap.schedule_id, page)
        for one in page:
            if one not in times and one not in known:
                return one
    return None


async def _move_gap(db: PoolConnection, gap: Tick, begins: datetime | None, count: int) -> None:
    if begins is None:
        return  # its only row is replaced by the tick that fires
    await db.execute(
        "UPDATE ticks SET scheduled_for = $3, due_at = $3, count = $4"
        " WHERE schedule_id = $1 AND scheduled_for = $2",
        gap.schedule_id,
        gap.scheduled_for,
        begins,
        count,
    )


def fired_tick(
    schedule_id: ScheduleId, at: datetime, job_id: str, *, due_at: datetime, origin: TickOrigin, now: datetime
) -> Tick:
    """Return a tick that a user has caused."""
    return Tick(
        schedule_id=schedule_id,
        scheduled_for=at,
        due_at=due_at,
        status=TickStatus.FIRED,
        reason=None,
        job_id=job_id,
        decided_at=now,
        origin=origin,
    )


def _backfill(row: Record) -> Backfill:
    return struct_from_row(Backfill, row)
