"""SQL of schedules."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from asyncpg import Record

from runwright.core.paging import Listing, PageRequest
from runwright.cron.zones import RULES_VERSION
from runwright.db.pagination import Conditions, Rows, fetch_page
from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, insert_row, row_of, struct_from_row, update_row
from runwright.schedules.model import Schedule, ScheduleFilter
from runwright.schedules.tick_policy import due_time
from runwright.workers.model import WorkerStatus

COLUMNS: Final = column_list(Schedule, "s")
_LISTED: Final = Rows(columns=COLUMNS, table="schedules s", key="s.id")


def schedule_from_row(row: Record) -> Schedule:
    """Return the schedule of a row with `COLUMNS`; further columns are ignored."""
    return struct_from_row(Schedule, row)


async def insert_schedule(db: PoolConnection, schedule: Schedule) -> None:
    """Insert a schedule with its cursor."""
    await insert_row(db, "schedules", _row(schedule) | {"moved_at": schedule.updated_at})


async def update_schedule(db: PoolConnection, schedule: Schedule) -> None:
    """Update a schedule that the transaction has locked, with its cursor."""
    moved = "CASE WHEN next_run_at IS DISTINCT FROM {next_run_at} THEN {updated_at} ELSE moved_at END"
    await update_row(db, "schedules", _row(schedule), moved_at=moved)


def _row(schedule: Schedule) -> dict[str, Any]:
    """Return the columns that a user changes, and the cursor; `record_ticks` writes the others."""
    return row_of(schedule, without=("last_tick_at", "last_run_at", "last_job_id", "missed_count")) | {
        "due_at": due_time(schedule.id, schedule.next_run_at, schedule.policy),
        "zone_rules": RULES_VERSION,
    }


async def delete_schedule(db: PoolConnection, *, tenant_id: str, schedule_id: str) -> bool:
    """Delete a schedule and its ticks; return whether it existed. Its jobs continue."""
    gone = await db.fetchval(
        "DELETE FROM schedules WHERE tenant_id = $1 AND id = $2 AND owner = 'worker' RETURNING true",
        tenant_id,
        schedule_id,
    )
    if gone:
        await db.execute("DELETE FROM ticks WHERE schedule_id = $1", schedule_id)
    return bool(gone)


async def fetch_schedule(
    db: Database | PoolConnection, *, tenant_id: str, schedule_id: str, lock: bool = False
) -> Schedule | None:
    """Return a schedule of the tenant; `lock` locks its row until the transaction ends."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM schedules s WHERE s.tenant_id = $1 AND s.id = $2 AND s.owner = 'worker'"
        + (" FOR UPDATE" if lock else ""),
        tenant_id,
        schedule_id,
    )
    return None if row is None else schedule_from_row(row)


async def list_schedules(
    db: Database, *, tenant_id: str, which: ScheduleFilter, page: PageRequest
) -> Listing[Schedule]:
    """Return a page of the tenant's schedules, newest first."""
    where = Conditions("s.tenant_id = $1 AND s.owner = 'worker'", tenant_id)
    where.add("s.worker_id = {}", which.worker_id)
    where.add("s.enabled = {}", which.enabled)
    where.add("strpos(lower(s.name), lower({})) > 0", which.name_contains)
    return (await fetch_page(db, _LISTED, where, page)).map(schedule_from_row)


async def lock_worker(db: PoolConnection, *, tenant_id: str, worker_id: str) -> WorkerStatus | None:
    """Return the status of a worker of the tenant, and lock it until the transaction ends."""
    status = await db.fetchval(
        "SELECT status FROM workers WHERE tenant_id = $1 AND id = $2 FOR SHARE", tenant_id, worker_id
    )
    return None if status is None else WorkerStatus(status)


async def disable_schedules_of_deprecated(db: Database, *, now: datetime) -> int:
    """Disable the schedules of deprecated workers; return their number."""
    rows = await db.fetch(
        """
        UPDATE schedules s SET enabled = false, next_run_at = NULL, due_at = NULL, updated_at = $1
        FROM workers w
        WHERE w.id = s.worker_id AND w.status = 'deprecated' AND s.enabled
        RETURNING 1
        """,
        now,
    )
    return len(rows)


async def outdated_ids(db: Database, *, now: datetime) -> list[str]:
    """Return the schedules whose next tick is not due and was computed with other time zone rules."""
    rows = await db.fetch(
        "SELECT id FROM schedules s WHERE s.due_at > $1 AND s.zone_rules <> $2 ORDER BY id",
        now,
        RULES_VERSION,
    )
    return [row["id"] for row in rows]


async def lock_outdated(db: PoolConnection, ids: Sequence[str], *, now: datetime) -> Sequence[Schedule]:
    """Lock those of these schedules that `outdated_ids` selects and that no other transaction holds."""
    rows = await db.fetch(
        f"""
        SELECT {COLUMNS} FROM schedules s WHERE s.id = ANY ($3) AND s.due_at > $1 AND s.zone_rules <> $2
        FOR UPDATE SKIP LOCKED
        """,
        now,
        RULES_VERSION,
        ids,
    )
    return [schedule_from_row(row) for row in rows]


async def count_schedules(db: Database, tenant_id: str, bound: int) -> int:
    """Return the number of schedules of a tenant, counted up to a bound."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM (SELECT 1 FROM schedules WHERE tenant_id = $1 LIMIT $2) AS bounded",
        tenant_id,
        bound,
    )
    return count
