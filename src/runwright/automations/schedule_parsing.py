"""Schedules of jobs: validation of their text, and conversion to what the scheduler uses."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from runwright.automations.model import JobDefinition, ScheduleSpec
from runwright.cron.expressions import CronError
from runwright.cron.go_durations import DurationError, parse_duration
from runwright.cron.go_expressions import go_timetable_of
from runwright.cron.zones import UnknownZoneError
from runwright.schedules.automation_schedules import ScheduleTiming
from runwright.schedules.model import TimingKind

SHORTEST_STEP: Final = timedelta(seconds=1)
LONGEST_STEP: Final = timedelta(days=100 * 365)

_FIELDS: Final = {"cron": "expr", "every": "interval", "at": "time"}
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,18})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def schedule_problems(spec: ScheduleSpec | None, path: str, zone: str) -> Iterable[str]:
    """Yield what is wrong with a schedule."""
    spec = spec or ScheduleSpec(mode="")
    if spec.mode not in _FIELDS:
        yield f'{path}.mode must be one of "cron", "every", or "at": "{spec.mode[:200]}"'
        return
    for mode, field in _FIELDS.items():
        if mode != spec.mode and getattr(spec, field):
            yield f'{path}.{field} must be empty when schedule.mode is "{spec.mode}"'
    own = _FIELDS[spec.mode]
    if not getattr(spec, own):
        yield f'{path}.{own} is required when schedule.mode is "{spec.mode}"'
        return
    try:
        problem = _value_problem(spec, zone)
    except (CronError, UnknownZoneError, DurationError, ValueError) as error:
        problem = f"is invalid: {error}"
    if problem:
        yield f"{path}.{own} {problem}"


def _value_problem(spec: ScheduleSpec, zone: str) -> str | None:
    if spec.mode == "cron":
        go_timetable_of(spec.expr, zone)
    elif spec.mode == "at":
        parse_time(spec.time)
    else:
        step = parse_duration(spec.interval)
        if step <= timedelta():
            return f'must be positive: "{spec.interval}"'
        if step < SHORTEST_STEP:
            return f'must be at least 1s: "{spec.interval}"'
        if step > LONGEST_STEP:
            return f'is too long: "{spec.interval}"'
    return None


def parse_time(text: str) -> datetime:
    """Return the instant of an RFC 3339 text, to the microsecond; ValueError if it is malformed."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f'parsing time "{text[:100]}" as RFC 3339: it must look like 2026-04-11T12:00:00Z')
    zone = "+00:00" if found[4] in "Zz" else found[4]
    try:
        at = datetime.fromisoformat(f"{found[1]}T{found[2]}{(found[3] or '')[:7]}{zone}")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{text[:100]}": out of range') from None


def timing_of(job: JobDefinition, zone: str) -> ScheduleTiming:
    """Return the timing of a job whose schedule has been checked."""
    spec = job.schedule
    assert spec is not None  # noqa: S101  it was checked
    kind = {"cron": TimingKind.PLAIN_CRON, "every": TimingKind.EVERY, "at": TimingKind.AT}[spec.mode]
    return ScheduleTiming(
        timing=kind,
        cron=spec.expr,
        timezone=zone,
        at=parse_time(spec.time) if kind is TimingKind.AT else None,
        step=parse_duration(spec.interval) if kind is TimingKind.EVERY else None,
        catch_up=job.catch_up,
        misfire_grace_seconds=job.misfire_grace_seconds,
    )
