"""Reset the cursor of a schedule, and record the due tick that this skips."""

import contextlib
from datetime import datetime

import msgspec

from runwright.core.errors import ConflictError
from runwright.cron.expressions import CronError
from runwright.cron.zones import RULES_VERSION, UnknownZoneError
from runwright.db.pool import PoolConnection
from runwright.schedules.model import Schedule, Tick
from runwright.schedules.store.ticks import CursorAdvance, record_ticks
from runwright.schedules.tick_policy import TickReason, TickStatus, Timing, due_time


def timing_of(schedule: Schedule) -> Timing:
    """Return the timing of a schedule. Raises ConflictError if newer zone rules lack its zone."""
    try:
        return schedule.timetable
    except (CronError, UnknownZoneError):
        raise ConflictError(f"The zone or the expression of {schedule.id} is not known any more.") from None


def reset_cursor(schedule: Schedule, now: datetime) -> Schedule:
    """Return the schedule with its cursor after now and after every judged tick."""
    at = None
    if schedule.enabled:
        start = now if schedule.last_tick_at is None else max(now, schedule.last_tick_at)
        at = timing_of(schedule).next_after(start)
    return msgspec.structs.replace(schedule, next_run_at=at)


async def skip_due_tick(db: PoolConnection, schedule: Schedule, now: datetime) -> None:
    """Record a due tick as skipped before the schedule changes; the caller resets the cursor."""
    at, due_at = schedule.next_run_at, due_time(schedule.id, schedule.next_run_at, schedule.policy)
    if at is None or due_at is None or due_at > now:
        return
    more = 0
    with contextlib.suppress(ConflictError):
        more = timing_of(schedule).count(at, now)
    tick = Tick(
        schedule_id=schedule.id,
        scheduled_for=at,
        due_at=due_at,
        status=TickStatus.SKIPPED,
        reason=TickReason.SCHEDULE_CHANGED,
        job_id=None,
        decided_at=now,
        count=1 + more,
        through=now if more else None,
    )
    advance = CursorAdvance(
        schedule_id=schedule.id,
        enabled=schedule.enabled,
        next_run_at=at,
        due_at=due_at,
        last_tick_at=now,
        last_run_at=None,
        last_job_id=None,
        missed=0,
    )
    await record_ticks(db, ticks=[tick], advances=[advance], now=now, zone_rules=RULES_VERSION)
