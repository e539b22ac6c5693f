"""Schedules that an automation owns, under its own id.

All of these are called in the transaction that changes the automation. Whoever changes both locks the
schedule first and the automation after, as the scheduler does, so that they never wait for each other
in a circle.
"""

from datetime import datetime, timedelta

import msgspec

from runwright.db.pool import PoolConnection
from runwright.schedules.cursor import set_clock, skip_due
from runwright.schedules.model import Owner, Schedule, TimingKind
from runwright.schedules.store.definitions import insert_schedule, update_schedule
from runwright.schedules.tick_policy import CatchUp, Overlap


class When(msgspec.Struct, frozen=True, kw_only=True):
    """When an automation fires; already validated. `at`: a single instant; `step`: a grid from now on."""

    timing: TimingKind
    cron: str = ""
    timezone: str = "UTC"
    at: datetime | None = None
    step: timedelta | None = None
    catch_up: CatchUp = CatchUp.NONE
    misfire_grace_seconds: int


async def create_clock(
    db: PoolConnection, *, id: str, tenant_id: str, when: When, enabled: bool, now: datetime
) -> None:
    """Write an automation's schedule with its cursor, the first tick after now."""
    schedule = Schedule(
        id=id,
        tenant_id=tenant_id,
        worker_id=None,
        name=None,
        cron=when.cron,
        timezone=when.timezone,
        input=msgspec.Raw(b"{}"),
        enabled=enabled,
        catch_up=when.catch_up,
        overlap=Overlap.ALLOW,
        misfire_grace_seconds=when.misfire_grace_seconds,
        jitter_seconds=0,
        next_run_at=None,
        last_tick_at=None,
        last_run_at=None,
        last_job_id=None,
        missed_count=0,
        created_by=id,
        created_at=now,
        updated_at=now,
        owner=Owner.AUTOMATION,
        timing=when.timing,
        anchor_at=_anchor(when, now),
        step=when.step,
    )
    await insert_schedule(db, set_clock(schedule, now))


async def change_clock(
    db: PoolConnection, schedule: Schedule, *, when: When, enabled: bool, afresh: bool, now: datetime
) -> None:
    """Change a schedule that is locked; `afresh` sets its clock anew, from now, as does another `enabled`."""
    changed = msgspec.structs.replace(
        schedule,
        enabled=enabled,
        catch_up=when.catch_up,
        misfire_grace_seconds=when.misfire_grace_seconds,
        updated_at=now,
    )
    if afresh or enabled != schedule.enabled:
        await skip_due(db, schedule, now)
        changed = msgspec.structs.replace(
            changed,
            timing=when.timing,
            cron=when.cron,
            timezone=when.timezone,
            anchor_at=_anchor(when, now),
            step=when.step,
        )
        changed = set_clock(changed, now)
    await update_schedule(db, changed)


def _anchor(when: When, now: datetime) -> datetime | None:
    return now if when.timing is TimingKind.EVERY else when.at
