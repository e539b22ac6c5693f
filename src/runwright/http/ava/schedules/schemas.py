"""The schemas of schedules, their ticks and previews."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, field

from runwright.core.struct_fields import patch_type, set_fields
from runwright.cron.expressions import LONGEST, Cron, CronError
from runwright.cron.timetable import Firing
from runwright.cron.zones import UnknownZoneError, find_zone
from runwright.http.ava.envelopes import JsonObject, Moment, PageQuery, Time, read_only
from runwright.http.ava.jobs.schemas import EMPTY_INPUT, Input, check_input
from runwright.http.ava.workers.rules import NAME_LIMIT, check_name
from runwright.http.fields import (
    format_optional_time,
    format_time,
    plausible_id,
    plausible_moment,
    read_moment,
    storable_text,
    to_out,
)
from runwright.http.validation import Problem, Rule, Validator
from runwright.schedules.model import (
    DEFAULT_GRACE_SECONDS,
    Backfill,
    BackfillPlan,
    BackfillStatus,
    Schedule,
    ScheduleChanges,
    ScheduleCreate,
    SchedulePreview,
    Tick,
    TickOrigin,
)
from runwright.schedules.tick_policy import CatchUp, Overlap, TickReason, TickStatus

_LONGEST_GRACE: Final = 86_400
_LONGEST_JITTER: Final = 3_600

WorkerId = Annotated[
    str, Meta(description="The worker to run.", extra_json_schema={"minLength": 1, "maxLength": 64})
]
CronText = Annotated[
    str,
    Meta(
        description="Five fields: minute hour day month weekday.",
        examples=["0 9 * * MON-FRI"],
        extra_json_schema={"maxLength": LONGEST},
    ),
]
ZoneText = Annotated[
    str, Meta(description="The IANA time zone in which `cron` is evaluated.", examples=["Europe/Berlin"])
]
ScheduleName = Annotated[
    str,
    Meta(
        description="Human-readable name; surrounding white space is dropped.",
        extra_json_schema={"minLength": 1, "maxLength": NAME_LIMIT},
    ),
]
Enabled = Annotated[bool, Meta(description="False pauses the schedule.")]
CatchUpChoice = Annotated[
    Literal["none", "last"],
    Meta(description="After an outage: fire for `none` of the missed firings, or once for the `last` one."),
]
OverlapChoice = Annotated[
    Overlap,
    Meta(description="While the job of its last firing is queued or running: `allow` another, or `skip` it."),
]
Grace = Annotated[
    int, Meta(ge=1, le=_LONGEST_GRACE, description="Later than this, a firing is recorded as missed.")
]
Jitter = Annotated[
    int, Meta(ge=0, le=_LONGEST_JITTER, description="Delay each firing by up to this, evenly distributed.")
]


class UnboundScheduleIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A schedule of a worker that may not exist yet."""

    openapi_name: ClassVar[str] = "CheckedSchedule"

    cron: CronText
    timezone: ZoneText
    name: ScheduleName | None = None
    input: Input = field(default_factory=lambda: EMPTY_INPUT)
    enabled: Enabled = True
    catch_up: CatchUpChoice = "none"
    overlap: OverlapChoice = Overlap.ALLOW
    misfire_grace_seconds: Grace = DEFAULT_GRACE_SECONDS
    jitter_seconds: Jitter = 0


class ScheduleIn(UnboundScheduleIn, forbid_unknown_fields=True, kw_only=True):
    """A schedule to create."""

    openapi_name: ClassVar[str] = "CreateScheduleBody"

    worker_id: WorkerId


SchedulePatch: Final = patch_type(
    "ChangeScheduleBody", ScheduleIn, "What to change; fields that are left out stay."
)


class ScheduleQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    worker_id: (
        Annotated[str, Meta(min_length=1, max_length=64, description="Only schedules of this worker.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[worker_id]")
    enabled: (
        Annotated[bool, Meta(description="Only enabled schedules (`true`), or only paused ones (`false`).")]
        | UnsetType
    ) = field(default=UNSET, name="filter[enabled]")
    q: (
        Annotated[str, Meta(max_length=NAME_LIMIT, description="Part of the name, in any case.")] | UnsetType
    ) = UNSET


class TickQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    status: Annotated[TickStatus, Meta(description="Only ticks with this outcome.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


FiringCount = Annotated[int, Meta(ge=1, le=100, description="The number of firings to return.")]


class PreviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The number of firings to preview."""

    count: FiringCount = 10


class ExpressionQuery(PreviewQuery, frozen=True, kw_only=True):
    """An expression to preview."""

    cron: CronText
    timezone: ZoneText


class ScheduleOut(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    id: Annotated[str, Meta(description="`sch_` and a lower-case ULID.")]
    tenant_id: str
    worker_id: Annotated[str, Meta(description="The worker of its jobs.")]
    name: str | None
    cron: Annotated[str, Meta(description="minute hour day month weekday")]
    timezone: Annotated[str, Meta(description="The IANA time zone in which `cron` is evaluated.")]
    input: JsonObject
    enabled: Annotated[bool, Meta(description="False: paused. Turns false when its worker is deprecated.")]
    next_run_at: Annotated[
        Time | None, Meta(description="The time of its next firing; null while it is paused.")
    ]
    last_run_at: Annotated[Time | None, Meta(description="The time of its last firing.")]
    last_job_id: Annotated[str | None, Meta(description="The job of its last firing.")]
    created_at: Time
    updated_at: Annotated[
        Time, Meta(description="When its settings were last changed; a firing does not count.")
    ]
    catch_up: Annotated[
        Literal["none", "last"],
        Meta(description="Whether it fires once, after an outage, for the last missed firing."),
    ]
    overlap: Annotated[
        Overlap, Meta(description="Whether it fires while the job of its last firing is queued or running.")
    ]
    misfire_grace_seconds: Annotated[
        int, Meta(description="Later than this, a firing is recorded as missed.")
    ]
    jitter_seconds: Annotated[int, Meta(description="Each firing is delayed by up to this.")]
    missed_count: Annotated[int, Meta(description="The number of firings that were missed.")]
    created_by: Annotated[str, Meta(description="The user or the key that created it.")]


class TickOut(msgspec.Struct, frozen=True, kw_only=True):
    """One expected firing of a schedule, and its outcome."""

    scheduled_for: Annotated[Time, Meta(description="The time of the expression, without jitter.")]
    due_at: Annotated[Time, Meta(description="The scheduled time with its jitter.")]
    status: Annotated[TickStatus, Meta(description="What became of the firing.")]
    reason: Annotated[TickReason | None, Meta(description="Why it did not fire.")]
    message: Annotated[str | None, Meta(description="The reason as a sentence.")]
    job_id: Annotated[str | None, Meta(description="The job that was submitted.")]
    decided_at: Annotated[Time, Meta(description="When it fired, or was recorded as not fired.")]
    late_ms: Annotated[int | None, Meta(description="The time from `due_at` to the firing.")]
    count: Annotated[int, Meta(description="More than 1 if several missed firings are recorded as one.")]
    through: Annotated[Time | None, Meta(description="The last of those firings.")]
    origin: Annotated[
        TickOrigin,
        Meta(description="The `schedule`; a user, at once (`manual`) or for the past (`backfill`)."),
    ]


class BackfillIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The window to backfill."""

    from_: Annotated[Moment, Meta(description="Start of the window, inclusive; `-24h`: 24 hours ago.")] = (
        field(name="from")
    )
    to: Annotated[Moment, Meta(description="End of the window, inclusive; by default now.")] | None = None
    dry_run: Annotated[bool, Meta(description="Only count the firings, without submitting jobs.")] = False


class BackfillOut(msgspec.Struct, frozen=True, kw_only=True):
    """A backfill of a schedule."""

    id: Annotated[str | None, Meta(description="`bfl_` and a lower-case ULID; null for a dry run.")]
    schedule_id: str
    from_: Time = field(name="from")
    to: Time
    status: Annotated[
        BackfillStatus | None, Meta(description="`running`, then completed or cancelled; null for a dry run.")
    ]
    matched: Annotated[
        int, Meta(description="The number of firings to make up for: those in the window that had not fired.")
    ]
    first: Annotated[Time | None, Meta(description="The first of them; only in a dry run.")] = None
    last: Annotated[Time | None, Meta(description="The last of them; only in a dry run.")] = None
    done: Annotated[int, Meta(description="Firings for which a job was submitted.")] = 0
    failed: Annotated[int, Meta(description="Firings whose job the worker did not accept.")] = 0
    skipped: Annotated[int, Meta(description="Firings that another request fired meanwhile.")] = 0
    error: Annotated[
        str | None, Meta(description="The latest error, what the backfill waits for, or why it ended.")
    ] = None
    created_by: Annotated[str | None, Meta(description="The user or the key that started it.")] = None
    created_at: Time | None = None
    completed_at: Time | None = None


class FiringOut(msgspec.Struct, frozen=True, kw_only=True):
    """A future firing."""

    at: Time
    local: Annotated[
        str,
        Meta(description="The same instant in the schedule's zone.", examples=["2026-03-29T03:00:00+02:00"]),
    ]
    note: Annotated[
        Literal["skipped_local_time", "repeated_local_time"] | None,
        Meta(description="What a change of the clock (daylight saving) does to this firing."),
    ]
    message: Annotated[str | None, Meta(description="The reason as a sentence.")]


class PreviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """The next firings of an expression."""

    cron: str
    timezone: str
    firings: Annotated[list[FiringOut], Meta(description="In chronological order.")]


def _check_cron(text: str) -> Iterable[Problem]:
    try:
        Cron(text)
    except CronError as error:
        yield "", str(error)


def _check_zone(name: str) -> Iterable[Problem]:
    try:
        find_zone(name)
    except UnknownZoneError as error:
        yield "", str(error)


_RULES: Final[dict[str, Rule]] = {
    "worker_id": plausible_id,
    "cron": _check_cron,
    "timezone": _check_zone,
    "name": check_name,
    "input": check_input,
}
_READ_ONLY: Final = read_only(ScheduleIn, ScheduleOut)

CREATE_SCHEDULE: Final = Validator(ScheduleIn, _RULES, _READ_ONLY)
CHECK_SCHEDULE: Final = Validator(
    UnboundScheduleIn,
    {name: rule for name, rule in _RULES.items() if name != "worker_id"},
    _READ_ONLY,
)
CHANGE_SCHEDULE: Final = Validator(SchedulePatch, _RULES, _READ_ONLY)
LIST_SCHEDULES: Final = Validator(ScheduleQuery, {"worker_id": plausible_id, "q": storable_text})
LIST_TICKS: Final = Validator(TickQuery)
START_BACKFILL: Final = Validator(BackfillIn, {"from_": plausible_moment, "to": plausible_moment})
PREVIEW: Final = Validator(PreviewQuery)
PREVIEW_EXPRESSION: Final = Validator(ExpressionQuery, {"cron": _check_cron, "timezone": _check_zone})
_CONVERTED: Final[dict[str, Callable[[Any], object]]] = {
    "name": lambda name: None if name is None else name.strip(),
    "input": lambda raw: Raw(bytes(raw)),  # a Raw of a request keeps the whole body in memory
    "catch_up": CatchUp,
}


def new_schedule(body: ScheduleIn) -> ScheduleCreate:
    return ScheduleCreate(**_core_fields(body))


def schedule_changes(body: msgspec.Struct) -> ScheduleChanges:
    return ScheduleChanges(**_core_fields(body))


def _core_fields(body: msgspec.Struct) -> dict[str, Any]:
    """Return the given fields of a body as the core has them."""
    values = set_fields(body)
    return {name: _CONVERTED[name](value) if name in _CONVERTED else value for name, value in values.items()}


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


def schedule_out(schedule: Schedule) -> ScheduleOut:
    return to_out(ScheduleOut, schedule)


def tick_out(tick: Tick) -> TickOut:
    late_ms = round((tick.decided_at - tick.due_at).total_seconds() * 1000)
    return to_out(
        TickOut,
        tick,
        message=None if tick.reason is None else _REASONS[tick.reason],
        late_ms=late_ms if tick.status is TickStatus.FIRED else None,
    )


def backfill_window(body: BackfillIn, now: datetime) -> tuple[datetime, datetime]:
    """Return the window of a valid body; without `to` it ends now."""
    begin, end = read_moment(body.from_, now), now if body.to is None else read_moment(body.to, now)
    assert begin is not None  # noqa: S101  validated
    assert end is not None  # noqa: S101  validated
    return _to_milliseconds(begin), _to_milliseconds(end)


def _to_milliseconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def backfill_out(backfill: Backfill) -> BackfillOut:
    return to_out(
        BackfillOut,
        backfill,
        from_=format_time(backfill.from_at),
        to=format_time(backfill.to_at),
        first=None,
        last=None,
    )


def plan_out(schedule_id: str, begin: datetime, end: datetime, plan: BackfillPlan) -> BackfillOut:
    return BackfillOut(
        id=None,
        schedule_id=schedule_id,
        from_=format_time(begin),
        to=format_time(end),
        status=None,
        matched=plan.firings,
        first=format_optional_time(plan.first),
        last=format_optional_time(plan.last),
    )


def preview_out(preview: SchedulePreview) -> PreviewOut:
    firings = [_firing_out(firing, preview) for firing in preview.firings]
    return PreviewOut(cron=preview.cron, timezone=preview.timezone, firings=firings)


def _firing_out(firing: Firing, preview: SchedulePreview) -> FiringOut:
    wall, fires = f"{firing.local:%H:%M}", firing.at.astimezone(preview.timetable.zone)
    note: Literal["skipped_local_time", "repeated_local_time"] | None = None
    message = None
    if firing.skipped:
        note = "skipped_local_time"
        message = f"The clock is put forward over {wall}; it fires once, when that happens, at {fires:%H:%M}."
    elif firing.repeated:
        note = "repeated_local_time"
        message = f"The clock is put back and shows {wall} twice; it fires the first time only."
    return FiringOut(at=format_time(firing.at), local=fires.isoformat(), note=note, message=message)
