"""Schedules of automations; they have the id of their automation.

These functions run in the transaction that changes the automation. Lock the schedule first and the
automation second, as the scheduler does, to prevent deadlocks.
"""

from datetime import datetime, timedelta

import msgspec

from runwright.core.ids import ScheduleId
from runwright.db.pool import PoolConnection
from runwright.schedules.cursor import reset_cursor, skip_due_tick
from runwright.schedules.model import Schedule, ScheduleOwner, TimingKind
from runwright.schedules.store.schedules import insert_schedule, update_schedule
from runwright.schedules.tick_policy import CatchUp


class ScheduleTiming(msgspec.Struct, frozen=True, kw_only=True):
    """The validated timing of an automation. `at`: a single instant; `step`: an interval from now on."""

    timing: TimingKind
    cron: str = ""
    timezone: str = "UTC"
    at: datetime | None = None
    step: timedelta | None = None
    catch_up: CatchUp = CatchUp.NONE
    misfire_grace_seconds: int


async def create_automation_schedule(
    db: PoolConnection, *, id: str, tenant_id: str, timing: ScheduleTiming, enabled: bool, now: datetime
) -> None:
    """Insert the schedule of an automation; its first tick is the first one after now."""
    schedule = Schedule(
        id=ScheduleId(id),
        tenant_id=tenant_id,
        cron=timing.cron,
        timezone=timing.timezone,
        enabled=enabled,
        catch_up=timing.catch_up,
        misfire_grace_seconds=timing.misfire_grace_seconds,
        created_by=id,
        created_at=now,
        updated_at=now,
        owner=ScheduleOwner.AUTOMATION,
        timing=timing.timing,
        anchor_at=_anchor(timing, now),
        step=timing.step,
    )
    await insert_schedule(db, reset_cursor(schedule, now))


async def change_automation_schedule(
    db: PoolConnection,
    schedule: Schedule,
    *,
    timing: ScheduleTiming,
    enabled: bool,
    restart: bool,
    now: datetime,
) -> None:
    """Change a locked schedule. `restart`, as well as a change of `enabled`, resets its cursor to now."""
    changed = msgspec.structs.replace(
        schedule,
        enabled=enabled,
        catch_up=timing.catch_up,
        misfire_grace_seconds=timing.misfire_grace_seconds,
        updated_at=now,
    )
    if restart or enabled != schedule.enabled:
        await skip_due_tick(db, schedule, now)
        changed = msgspec.structs.replace(
            changed,
            timing=timing.timing,
            cron=timing.cron,
            timezone=timing.timezone,
            anchor_at=_anchor(timing, now),
            step=timing.step,
        )
        changed = reset_cursor(changed, now)
    await update_schedule(db, changed)


def _anchor(timing: ScheduleTiming, now: datetime) -> datetime | None:
    return now if timing.timing is TimingKind.EVERY else timing.at
