"""SQL of the schedules of automations, by automation id."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from runwright.db.pool import Database, PoolConnection
from runwright.db.rows import column_list, struct_from_row
from runwright.schedules.model import Schedule
from runwright.schedules.store.schedules import COLUMNS, schedule_from_row
from runwright.schedules.tick_policy import CatchUp


class ScheduleState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an automation's schedule."""

    next_run_at: datetime | None
    last_tick_at: datetime | None
    last_run_at: datetime | None
    last_run_id: str | None
    catch_up: CatchUp
    misfire_grace_seconds: int
    misfires: int
    last_misfire_at: datetime | None
    moved_at: datetime | None


async def lock_automation_schedule(db: PoolConnection, *, id: str) -> Schedule | None:
    """Lock and return the schedule of an automation."""
    row = await db.fetchrow(
        f"SELECT {COLUMNS} FROM schedules s WHERE s.id = $1 AND s.owner = 'automation' FOR UPDATE", id
    )
    return None if row is None else schedule_from_row(row)


async def delete_automation_schedule(db: PoolConnection, *, id: str) -> None:
    """Delete the schedule of an automation and its ticks."""
    await db.execute("DELETE FROM schedules WHERE id = $1 AND owner = 'automation'", id)
    await db.execute("DELETE FROM ticks WHERE schedule_id = $1", id)


async def fetch_schedule_states(
    db: Database | PoolConnection, *, ids: Sequence[str]
) -> dict[str, ScheduleState]:
    """Return the states of the schedules of these automations that have a next tick."""
    rows = await db.fetch(
        f"SELECT id, last_job_id AS last_run_id, {column_list(ScheduleState, without=('last_run_id',))}"
        " FROM schedules WHERE id = ANY ($1) AND owner = 'automation' AND next_run_at IS NOT NULL",
        ids,
    )
    return {row["id"]: struct_from_row(ScheduleState, row) for row in rows}
