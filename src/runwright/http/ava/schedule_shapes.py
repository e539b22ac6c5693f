"""How schedules, their ticks and previews become the shapes of the wire."""

from typing import Final, Literal

from runwright.cron.timetable import Firing
from runwright.http.ava.wire import FiringWire, PreviewWire, ScheduleWire, TickWire
from runwright.http.times import time_or_none, time_wire
from runwright.schedules.model import Preview, Schedule, Tick
from runwright.schedules.tick_policy import TickReason, TickStatus

_REASONS: Final = {
    TickReason.TOO_LATE: "No scheduler was there in time: it was later than misfire_grace_seconds.",
    TickReason.OVERLAP: "The job of the last firing was still queued or running.",
    TickReason.WORKER_PAUSED: "The worker was paused.",
    TickReason.WORKER_DEPRECATED: "The worker was deprecated; the schedule has been stopped.",
    TickReason.SCHEDULE_CHANGED: "The schedule was changed before it fired.",
    TickReason.SCHEDULE_BROKEN: "Its expression or zone is known no more; the schedule has been stopped.",
    TickReason.TENANT_SUSPENDED: "The tenant was suspended.",
    TickReason.FIRE_LIMIT: "It had fired as often as it may.",
    TickReason.AUTOMATIONS_OFF: "Automations were switched off.",
}


def schedule_wire(schedule: Schedule) -> ScheduleWire:
    values = {name: getattr(schedule, name) for name in ScheduleWire.__struct_fields__}
    for name in ("next_run_at", "last_run_at", "created_at", "updated_at"):
        values[name] = time_or_none(values[name])
    return ScheduleWire(**values)


def tick_wire(tick: Tick) -> TickWire:
    fired = tick.status is TickStatus.FIRED
    return TickWire(
        scheduled_for=time_wire(tick.scheduled_for),
        due_at=time_wire(tick.due_at),
        status=tick.status,
        reason=tick.reason,
        message=None if tick.reason is None else _REASONS[tick.reason],
        job_id=tick.job_id,
        decided_at=time_wire(tick.decided_at),
        late_ms=round((tick.decided_at - tick.due_at).total_seconds() * 1000) if fired else None,
        count=tick.count,
        through=time_or_none(tick.through),
    )


def preview_wire(preview: Preview) -> PreviewWire:
    firings = [_firing_wire(firing, preview) for firing in preview.firings]
    return PreviewWire(cron=preview.cron, timezone=preview.timezone, firings=firings)


def _firing_wire(firing: Firing, preview: Preview) -> FiringWire:
    wall, fires = f"{firing.local:%H:%M}", firing.at.astimezone(preview.timetable.zone)
    note: Literal["skipped_local_time", "repeated_local_time"] | None = None
    message = None
    if firing.skipped:
        note = "skipped_local_time"
        message = f"The clock is put forward over {wall}; it fires once, when that happens, at {fires:%H:%M}."
    elif firing.repeated:
        note = "repeated_local_time"
        message = f"The clock is put back and shows {wall} twice; it fires the first time only."
    return FiringWire(at=time_wire(firing.at), local=fires.isoformat(), note=note, message=message)
