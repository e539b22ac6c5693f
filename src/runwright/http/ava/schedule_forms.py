"""What requests about schedules may hold."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, field

from runwright.cron.expressions import LONGEST, Cron, CronError
from runwright.cron.zones import UnknownZoneError, find_zone
from runwright.http.ava.job_forms import EMPTY_INPUT, Input, check_input
from runwright.http.ava.paging import PageQuery
from runwright.http.ava.worker_rules import NAME_LIMIT, check_name
from runwright.http.checks import Form, Problem, Rule
from runwright.http.text import plausible_id, storable_text
from runwright.schedules.model import DEFAULT_GRACE_SECONDS, NewSchedule, ScheduleChanges, ScheduleFilter
from runwright.schedules.tick_policy import CatchUp, Overlap, TickStatus

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
    str, Meta(description="The IANA zone whose local time `cron` speaks of.", examples=["Europe/Berlin"])
]
ScheduleName = Annotated[
    str,
    Meta(
        description="Human-readable name; surrounding white space is dropped.",
        extra_json_schema={"minLength": 1, "maxLength": NAME_LIMIT},
    ),
]
Enabled = Annotated[bool, Meta(description="False pauses it.")]
CatchUpChoice = Annotated[
    Literal["none", "last"],
    Meta(
        description="After an outage: `none` of the missed firings is made up for, or the `last` one, once."
    ),
]
OverlapChoice = Annotated[
    Overlap,
    Meta(description="While the job of its last firing is queued or running: `allow` another, or `skip` it."),
]
Grace = Annotated[
    int, Meta(ge=1, le=_LONGEST_GRACE, description="A firing that is later than this is missed.")
]
Jitter = Annotated[
    int, Meta(ge=0, le=_LONGEST_JITTER, description="Put each firing off by up to this, evenly spread.")
]


class CreateScheduleBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A schedule to create."""

    worker_id: WorkerId
    cron: CronText
    timezone: ZoneText
    name: ScheduleName | None = None
    input: Input = field(default_factory=lambda: EMPTY_INPUT)
    enabled: Enabled = True
    catch_up: CatchUpChoice = "none"
    overlap: OverlapChoice = Overlap.ALLOW
    misfire_grace_seconds: Grace = DEFAULT_GRACE_SECONDS
    jitter_seconds: Jitter = 0


class ChangeScheduleBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay."""

    worker_id: WorkerId | UnsetType = UNSET
    cron: CronText | UnsetType = UNSET
    timezone: ZoneText | UnsetType = UNSET
    name: ScheduleName | None | UnsetType = UNSET
    input: Input | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET
    catch_up: CatchUpChoice | UnsetType = UNSET
    overlap: OverlapChoice | UnsetType = UNSET
    misfire_grace_seconds: Grace | UnsetType = UNSET
    jitter_seconds: Jitter | UnsetType = UNSET


class ScheduleQuery(PageQuery, frozen=True, kw_only=True):
    """Which schedules to list."""

    worker_id: (
        Annotated[str, Meta(min_length=1, max_length=64, description="Only schedules of this worker.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[worker_id]")
    enabled: Annotated[bool, Meta(description="Only schedules that are, or are not.")] | UnsetType = field(
        default=UNSET, name="filter[enabled]"
    )
    q: (
        Annotated[str, Meta(max_length=NAME_LIMIT, description="Part of the name, in any case.")] | UnsetType
    ) = UNSET


class TickQuery(PageQuery, frozen=True, kw_only=True):
    """Which ticks to list."""

    status: Annotated[TickStatus, Meta(description="Only ticks of which this became.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


FiringCount = Annotated[int, Meta(ge=1, le=100, description="How many firings.")]


class PreviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How far to look ahead."""

    count: FiringCount = 10


class ExpressionQuery(PreviewQuery, frozen=True, kw_only=True):
    """An expression to look ahead with."""

    cron: CronText
    timezone: ZoneText


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
_READ_ONLY: Final = dict.fromkeys(
    (
        *("id", "tenant_id", "next_run_at", "last_run_at", "last_job_id", "created_at", "updated_at"),
        *("missed_count", "created_by"),
    ),
    "Is read-only.",
)

CREATE_SCHEDULE: Final = Form(CreateScheduleBody, _RULES, _READ_ONLY)
CHANGE_SCHEDULE: Final = Form(ChangeScheduleBody, _RULES, _READ_ONLY)
LIST_SCHEDULES: Final = Form(ScheduleQuery, {"worker_id": plausible_id, "q": storable_text})
LIST_TICKS: Final = Form(TickQuery)
PREVIEW: Final = Form(PreviewQuery)
PREVIEW_EXPRESSION: Final = Form(ExpressionQuery, {"cron": _check_cron, "timezone": _check_zone})


def new_schedule(body: CreateScheduleBody) -> NewSchedule:
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    given = {"name": _stripped(body.name), "input": Raw(bytes(body.input))}
    return NewSchedule(**values | given | {"catch_up": CatchUp(body.catch_up)})


def schedule_changes(body: ChangeScheduleBody) -> ScheduleChanges:
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    values = {name: value for name, value in values.items() if value is not UNSET}
    if body.name is not UNSET:
        values["name"] = _stripped(body.name)
    if body.input is not UNSET:
        values["input"] = Raw(bytes(body.input))
    if body.catch_up is not UNSET:
        values["catch_up"] = CatchUp(body.catch_up)
    return ScheduleChanges(**values)


def schedule_filter(query: ScheduleQuery) -> ScheduleFilter:
    return ScheduleFilter(
        worker_id=None if query.worker_id is UNSET else query.worker_id,
        enabled=None if query.enabled is UNSET else query.enabled,
        name_contains=None if query.q is UNSET or not query.q else query.q,
    )


def _stripped(name: str | None) -> str | None:
    return None if name is None else name.strip()
