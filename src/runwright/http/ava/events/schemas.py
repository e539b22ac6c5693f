"""The schemas of events, in lists and streams, and AVA's names of their types.

The types of the server's own events begin with `ava.`; those that callers publish are unchanged. What the
server's own events show is chosen here field by field: their stored data has more, and names of its own.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, field

from runwright.agents.model import EventCreate
from runwright.core.json_depth import DEPTH_LIMIT, nests_too_deeply
from runwright.events.event_filter import EVERY_TYPE, EventSelection, TypePatterns, patterns_of
from runwright.events.feed_store import DATA_LIMIT_BYTES, LoggedEvent
from runwright.events.publish import LONGEST_TYPE, OWN_FAMILIES, PAYLOAD_LIMIT_BYTES, type_problem
from runwright.http.ava.envelopes import (
    AnyJson,
    Cursor,
    CursorPagination,
    JsonObject,
    Moment,
    PerPage,
    Time,
    in_utc,
    optional,
)
from runwright.http.ava.webhooks.event_names import PREFIX
from runwright.http.fields import format_time, plausible_moment, read_moment
from runwright.http.validation import Problem, Validator

MOST_NAMES: Final = 20

_NAME: Final = r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*(\.\*)?"
_NAMES: Final = re.compile(rf"(\*|{_NAME})(,(\*|{_NAME}))*", re.ASCII)
_IDS: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}(,[A-Za-z0-9_.:-]{1,64})*", re.ASCII)
_CUSTOM: Final = r"^custom(\.[a-z0-9_-]+)+$"
_NUL: Final = b"\\u0000"
_BACKSLASH: Final = rb"\\"
_TYPE: Final = Meta(
    description="`ava.` and the event's name, for the server's own; else as it was published.",
    examples=["ava.job.completed", "custom.report.done"],
)

TypeNames = Annotated[
    str,
    Meta(
        description="Only these types: `ava.job.completed`, `ava.job.*`, `custom.*`. The prefix"
        " `ava.` may be left out.",
        max_length=MOST_NAMES * LONGEST_TYPE,
        extra_json_schema={"pattern": f"^{_NAMES.pattern}$"},
    ),
]
SubjectIds = Annotated[
    str,
    Meta(
        description="Only events about these ids (comma-separated): jobs, schedules, deliveries.",
        max_length=MOST_NAMES * 65,
        extra_json_schema={"pattern": f"^{_IDS.pattern}$"},
    ),
]


class EventIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An event to publish."""

    openapi_name: ClassVar[str] = "PublishEventBody"

    type: Annotated[
        str,
        Meta(pattern=_CUSTOM, max_length=LONGEST_TYPE, description="`custom.` and a name of your choice."),
    ]
    payload: Annotated[JsonObject, Meta(description="At most 256 KiB.")] = field(
        default_factory=lambda: Raw(b"{}")
    )


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of the list."""

    type: TypeNames | UnsetType = field(default=UNSET, name="filter[type]")
    subject_id: SubjectIds | UnsetType = field(default=UNSET, name="filter[subject_id]")
    created_after: (
        Annotated[Moment, Meta(description="At this time or later; `-24h`: in the last 24 hours.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[created_after]")
    created_before: Annotated[Moment, Meta(description="At this time or earlier.")] | UnsetType = field(
        default=UNSET, name="filter[created_before]"
    )
    per_page: PerPage = 20
    cursor: Annotated[Cursor, Meta(description="`next_cursor` of the previous page.")] | UnsetType = UNSET


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """An event."""

    id: Annotated[str, Meta(description="`evt_` and a lower-case ULID.")]
    type: Annotated[str, _TYPE]
    subject_id: Annotated[str, Meta(description="The id of its subject; empty if it has none.")]
    worker_id: Annotated[str | None, Meta(description="The worker of a job's event.")]
    created_at: Time
    data: Annotated[AnyJson | None, Meta(description="The payload of a published event, details of others.")]
    data_omitted: Annotated[
        bool,
        Meta(description=f"Whether it has more than {DATA_LIMIT_BYTES} bytes of data: get the event itself."),
    ]


class PublishedEventOut(EventOut, frozen=True, kw_only=True):
    """An event that was published."""

    executions: Annotated[int, Meta(description="The number of agents that receive it.")]


class WebhookBodyOut(msgspec.Struct, frozen=True, kw_only=True):
    """The body that webhooks receive of an event."""

    openapi_name: ClassVar[str] = "WebhookBody"

    id: Annotated[str, Meta(description="The id of the event.")]
    type: Annotated[str, _TYPE]
    created_at: Time
    tenant_id: str
    data: Annotated[AnyJson, Meta(description="The job, worker, schedule or run; the payload.")]


class EventPage(msgspec.Struct, frozen=True):
    """A page of events, the newest first."""

    data: list[EventOut]
    pagination: CursorPagination


def check_type_names(text: str) -> Iterable[Problem]:
    if not _NAMES.fullmatch(text):
        yield "", "Must be types of events, or families like ava.job.*, with commas between them."
    elif text.count(",") >= MOST_NAMES:
        yield "", f"Must name at most {MOST_NAMES} types."


def check_subject_ids(text: str) -> Iterable[Problem]:
    if not _IDS.fullmatch(text):
        yield "", "Must be ids with commas between them."
    elif text.count(",") >= MOST_NAMES:
        yield "", f"Must name at most {MOST_NAMES} ids."


def _check_type(name: str) -> Iterable[Problem]:
    problem = type_problem(name)
    if problem is not None:
        yield "", problem


def check_payload(raw: Raw) -> Iterable[Problem]:
    text = bytes(raw)
    if len(text) > PAYLOAD_LIMIT_BYTES:
        yield "", f"Must have at most {PAYLOAD_LIMIT_BYTES} bytes as JSON."
    elif not text.lstrip().startswith(b"{"):
        yield "", "Must be an object."
    elif nests_too_deeply(text):
        yield "", f"Must not be nested more than {DEPTH_LIMIT} levels deep."
    elif _NUL in text.replace(_BACKSLASH, b""):
        yield "", "Must not hold the character NUL."
    else:
        msgspec.json.decode(text)


PUBLISH_EVENT: Final = Validator(EventIn, {"type": _check_type, "payload": check_payload})
LIST_EVENTS: Final = Validator(
    EventQuery,
    {
        "type": check_type_names,
        "subject_id": check_subject_ids,
        "created_after": plausible_moment,
        "created_before": plausible_moment,
    },
)


def event_create(body: EventIn, key: str | None) -> EventCreate:
    return EventCreate(type=body.type, payload=body.payload, idempotency_key=key)


def type_patterns(names: str | UnsetType) -> TypePatterns:
    """Return the patterns of types for AVA's names of them."""
    if names is UNSET:
        return EVERY_TYPE
    core: list[str] = []
    for name in names.split(","):
        if name == f"{PREFIX}*":
            core += [f"{family}.*" for family in sorted(OWN_FAMILIES)]
        else:
            core.append(name.removeprefix(PREFIX))
    return patterns_of(core)


def event_filter(query: EventQuery, now: datetime) -> EventSelection:
    return EventSelection(
        patterns=type_patterns(query.type),
        subject_ids=None if query.subject_id is UNSET else frozenset(query.subject_id.split(",")),
        created_after=_moment(optional(query.created_after), now),
        created_before=_moment(optional(query.created_before), now),
    )


def _moment(text: str | None, now: datetime) -> datetime | None:
    return None if text is None else in_utc(read_moment(text, now))


def type_name(event_type: str) -> str:
    """Return AVA's name of a type."""
    return PREFIX + event_type if event_type.partition(".")[0] in OWN_FAMILIES else event_type


_Parts = dict[str, Raw]
_decode: Final = msgspec.json.Decoder(_Parts).decode
_SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "job": ("attempt", "worker_version"),
    "attempt": ("attempt", "code", "retry_at"),
    "delivery": ("endpoint_id", "event_type", "attempt", "response_status", "retry_at"),
    "execution": ("agent_id", "event_type", "action"),
    "agent": ("execution_id", "agent_id", "agent", "event", "action", "reason", "decided_by"),
    "question": ("status", "asked_by", "subject", "question", "job_id", "answer", "answered_by", "timed_out"),
    "run": ("automation_id", "status"),
    "automation": ("run_id", "job_id", "trigger_id", "name", "agent_name", "status", "attempt", "error"),
    "schedule": ("status", "reason", "job_id", "scheduled_for"),
}
"""What the data of the server's own events show, by family."""

_NAMES_HERE: Final = {"endpoint_id": "webhook_id"}


def _shown_data(event_type: str, data: Raw | None) -> Raw | None:
    family = event_type.partition(".")[0]
    if data is None or family not in OWN_FAMILIES:
        return data
    names = _SHOWN.get(family, ())
    try:
        parts = _decode(data)
        if family == "schedule":
            parts = _decode(parts["tick"])
    except (msgspec.DecodeError, RecursionError, KeyError):
        return None
    shown = {_NAMES_HERE.get(name, name): parts[name] for name in names if name in parts}
    return Raw(msgspec.json.encode(shown)) if shown else None


def event_out(logged: LoggedEvent) -> EventOut:
    event = logged.event
    return EventOut(
        id=event.id,
        type=type_name(event.type),
        subject_id=event.subject_id,
        worker_id=logged.worker_id,
        created_at=format_time(event.created_at),
        data=_shown_data(event.type, event.data),
        data_omitted=logged.data_omitted and event.type.partition(".")[0] not in OWN_FAMILIES,
    )
