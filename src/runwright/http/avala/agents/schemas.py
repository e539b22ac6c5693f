"""The schemas of agents; unknown fields are ignored."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.agents.model import LONGEST_LEASE_SECONDS, Agent, AgentCreate, AgentFields, ExecutionStatus
from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import MOST_NAMES, EventName, check_events, core_patterns
from runwright.http.avala.fields import (
    Time,
    Uid,
    canonical_uuid,
    is_uuid,
    list_of,
    text_of_at_most,
)
from runwright.http.fields import to_out
from runwright.http.validation import Rule, Validator
from runwright.outbox.client.url import LONGEST_URL

FORMAT: Final = "avala"

_LONGEST_NAME: Final = 255
_LONGEST_DESCRIPTION: Final = 10_000
_LONGEST_SECRET: Final = 255
_LONGEST_TASK_TYPE: Final = 50
_LONGEST_WORKER: Final = 200
_MOST_TASK_TYPES: Final = 100

Name = Annotated[
    str,
    Meta(
        description="Unique in the organization.",
        extra_json_schema={"maxLength": _LONGEST_NAME, "pattern": r"\S"},
    ),
]
Description = Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_DESCRIPTION})]
Events = Annotated[
    list[EventName],
    Meta(
        description="The documented events, `agent.action`, `custom.…`, and `ava.…` for events of this"
        " server (`ava.job.failed`, `ava.job.*`, `ava.*`). An empty list subscribes to none.",
        extra_json_schema={"maxItems": MOST_NAMES},
    ),
]
CallbackUrl = Annotated[
    str,
    Meta(
        description="The https URL that executions are sent to; null: the agent polls.",
        extra_json_schema={"maxLength": LONGEST_URL},
    ),
]
Project = Annotated[
    str, Meta(description="Only events of this project; null: all.", extra_json_schema={"format": "uuid"})
]
TaskType = Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_TASK_TYPE, "pattern": r"\S"})]
TaskTypes = Annotated[
    list[TaskType],
    Meta(
        description="Only events for tasks of these types; empty: all.",
        extra_json_schema={"maxItems": _MOST_TASK_TYPES},
    ),
]
Worker = Annotated[
    str,
    Meta(
        description="Ours: the worker that decides for the agent, by its id (`wkr_…`) or its name; a name"
        " selects the newest active worker that has it now, and the response has its id. It runs with the"
        " execution as its input and returns the decision: `action`, `reason`, `metadata`.",
        extra_json_schema={"maxLength": _LONGEST_WORKER, "pattern": r"\S"},
    ),
]
Lease = Annotated[
    int,
    Meta(
        ge=1,
        le=LONGEST_LEASE_SECONDS,
        description="Ours: polls for pending executions lease them for so many seconds, as with `claim`, so"
        " that several pollers of one agent never handle the same one.",
    ),
]
AgentSecret = Annotated[
    str,
    Meta(
        description="Signs callbacks; only for a new agent. Default: a random one.",
        extra_json_schema={"maxLength": _LONGEST_SECRET},
    ),
]


class AgentOptions(msgspec.Struct, kw_only=True):
    """Optional fields."""

    description: Description | None | UnsetType = UNSET
    callback_url: CallbackUrl | None | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    project: Project | None | UnsetType = UNSET
    task_types: TaskTypes | UnsetType = UNSET
    worker: Worker | None | UnsetType = UNSET
    poll_lease_seconds: Lease | None | UnsetType = UNSET


class AgentIn(AgentOptions, kw_only=True):
    """An agent to register. If one of this name exists, omitted fields are left unchanged."""

    openapi_name: ClassVar[str] = "RegisterAgentBody"

    name: Name
    events: Events
    secret: AgentSecret | None = None


class AgentReplacement(AgentOptions, kw_only=True):
    """All fields of an agent; omitted ones get the defaults of a new agent."""

    openapi_name: ClassVar[str] = "WholeAgentBody"

    name: Name
    events: Events


class AgentPatch(AgentOptions, kw_only=True):
    """The fields of an agent to change; omitted ones are left unchanged."""

    openapi_name: ClassVar[str] = "AgentChangesBody"

    name: Name | UnsetType = UNSET
    events: Events | UnsetType = UNSET


_RULES: Final[dict[str, Rule]] = {
    "name": text_of_at_most(_LONGEST_NAME, blank=False),
    "description": text_of_at_most(_LONGEST_DESCRIPTION),
    "events": check_events,
    "project": is_uuid,
    "task_types": list_of(text_of_at_most(_LONGEST_TASK_TYPE, blank=False), _MOST_TASK_TYPES),
    "worker": text_of_at_most(_LONGEST_WORKER, blank=False),
}
REGISTER_AGENT: Final = Validator(
    AgentIn, {**_RULES, "secret": text_of_at_most(_LONGEST_SECRET)}, lenient=True
)
REPLACE_AGENT: Final = Validator(AgentReplacement, _RULES, lenient=True)
CHANGE_AGENT: Final = Validator(AgentPatch, _RULES, lenient=True)

_DEFAULTS: Final = AgentFields(
    description="",
    callback_url=None,
    worker_id=None,
    active=True,
    project=None,
    task_types=[],
    poll_lease_seconds=None,
)


def agent_create(body: AgentIn) -> AgentCreate:
    return AgentCreate(
        name=body.name.strip(), style=FORMAT, fields=agent_fields(body), secret=body.secret or None
    )


def replacement_fields(body: AgentReplacement) -> AgentFields:
    given = agent_fields(body).given()
    return msgspec.structs.replace(_DEFAULTS, **given, name=body.name.strip())


def patched_fields(body: AgentPatch) -> AgentFields:
    fields = agent_fields(body)
    return fields if body.name is UNSET else msgspec.structs.replace(fields, name=body.name.strip())


def agent_fields(body: AgentIn | AgentReplacement | AgentPatch) -> AgentFields:
    """Return the given fields, without the name."""
    events = body.events if body.events is UNSET else list(dict.fromkeys(body.events))
    return AgentFields(
        description=body.description if body.description is UNSET else body.description or "",
        events=events,
        patterns=UNSET if events is UNSET else core_patterns(events),
        callback_url=body.callback_url,
        worker_id=body.worker,
        active=body.is_active,
        project=body.project if body.project is UNSET else canonical_uuid(body.project or ""),
        task_types=body.task_types if body.task_types is UNSET else list(dict.fromkeys(body.task_types)),
        poll_lease_seconds=body.poll_lease_seconds,
    )


class AgentOut(msgspec.Struct, frozen=True, kw_only=True):
    """A registration."""

    uid: Uid
    name: str
    description: str
    events: list[str]
    callback_url: str | None
    secret: Annotated[str, Meta(description="Shown once, when the agent is new.")] | UnsetType = UNSET
    is_active: bool
    project: Uid | None
    task_types: list[str]
    execution_stats: (
        Annotated[dict[str, int], Meta(description="The number of executions in each state that has any.")]
        | UnsetType
    ) = UNSET
    created_at: Time
    updated_at: Time
    worker: Annotated[str | None, Meta(description="Ours: the worker that decides.")]
    poll_lease_seconds: Annotated[
        int | None, Meta(description="Ours: for how many seconds polls lease executions.")
    ]
    inactive_reason: Annotated[str | None, Meta(description="Ours: why the server deactivated it.")]


class AgentTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """A test event was queued."""

    openapi_name: ClassVar[str] = "TestQueued"

    detail: str
    execution_uid: Uid
    has_callback: bool
    success: bool = True


def agent_out(
    agent: Agent, *, secret: str | None = None, stats: dict[ExecutionStatus, int] | None = None
) -> AgentOut:
    return to_out(
        AgentOut,
        agent,
        uid=uuid_of(agent.id),
        secret=UNSET if secret is None else secret,
        is_active=agent.active,
        execution_stats=UNSET if stats is None else stats,
        worker=agent.worker_id,
    )
