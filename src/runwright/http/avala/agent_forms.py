"""What requests about agents may hold; fields that are not known are passed over."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.agents.model import LONGEST_LEASE_SECONDS, AgentCreate, AgentFields
from runwright.http.avala.event_names import check_events, core_patterns
from runwright.http.avala.rules import canonical_uuid, https_url, is_uuid, list_of, text_of_at_most
from runwright.http.checks import Form, Rule, T
from runwright.outbox.client.url import LONGEST_URL, OutgoingPolicy

STYLE: Final = "avala"

_LONGEST_NAME: Final = 255
_LONGEST_DESCRIPTION: Final = 10_000
_LONGEST_SECRET: Final = 255
_LONGEST_TASK_TYPE: Final = 50
_LONGEST_WORKER: Final = 200
_MOST_TASK_TYPES: Final = 100

Name = Annotated[
    str, Meta(description="Unique in the organization.", extra_json_schema={"maxLength": _LONGEST_NAME})
]
Description = Annotated[str, Meta(extra_json_schema={"maxLength": _LONGEST_DESCRIPTION})]
Events = Annotated[
    list[str],
    Meta(
        description="The documented events, `agent.action`, `custom.…`, and `ava.…` for what happens on this"
        " server (`ava.job.failed`, `ava.job.*`, `ava.*`). An empty list wants none."
    ),
]
CallbackUrl = Annotated[
    str,
    Meta(
        description="Where events are told: https; null: the agent polls.",
        extra_json_schema={"maxLength": LONGEST_URL},
    ),
]
Project = Annotated[
    str, Meta(description="Only events of this project; null: all.", extra_json_schema={"format": "uuid"})
]
TaskTypes = Annotated[list[str], Meta(description="Only events for tasks of these types; empty: all.")]
Worker = Annotated[
    str,
    Meta(
        description="Ours: the worker that answers in the agent's place, by its id (`wkr_…`) or its name; a"
        " name is the newest active worker that has it now, and the answer shows its id. It is run with the"
        " execution as its input, and what it returns is the decision: `action`, `reason`, `metadata`."
    ),
]
Lease = Annotated[
    int,
    Meta(
        ge=1,
        le=LONGEST_LEASE_SECONDS,
        description="Ours: polls for pending executions hold what they get for so many seconds, as with"
        " `claim`, so that several pollers of one agent never handle the same.",
    ),
]
AgentSecret = Annotated[
    str,
    Meta(
        description="Signs callbacks; only of a new agent. Default: one is made.",
        extra_json_schema={"maxLength": _LONGEST_SECRET},
    ),
]


class AgentOptions(msgspec.Struct, kw_only=True):
    """What may be left out."""

    description: Description | None | UnsetType = UNSET
    callback_url: CallbackUrl | None | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    project: Project | None | UnsetType = UNSET
    task_types: TaskTypes | UnsetType = UNSET
    worker: Worker | None | UnsetType = UNSET
    poll_lease_seconds: Lease | None | UnsetType = UNSET


class RegisterAgentBody(AgentOptions, kw_only=True):
    """An agent to register. Where one of this name is there, what is left out stays as it is."""

    name: Name
    events: Events
    secret: AgentSecret | None = None


class WholeAgentBody(AgentOptions, kw_only=True):
    """What an agent is to be; what is left out is as with a new one."""

    name: Name
    events: Events


class AgentChangesBody(AgentOptions, kw_only=True):
    """What to change of an agent; what is left out stays."""

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
REGISTER_AGENT: Final = Form(
    RegisterAgentBody, {**_RULES, "secret": text_of_at_most(_LONGEST_SECRET)}, lenient=True
)
WHOLE_AGENT: Final = Form(WholeAgentBody, _RULES, lenient=True)
AGENT_CHANGES: Final = Form(AgentChangesBody, _RULES, lenient=True)

_DEFAULTS: Final = AgentFields(
    description="",
    callback_url=None,
    worker_id=None,
    active=True,
    project=None,
    task_types=[],
    poll_lease_seconds=None,
)


def for_target(form: Form[T], policy: OutgoingPolicy) -> Form[T]:
    """Return the form with the rule that something may be sent to its URL."""
    return form.with_rules({"callback_url": https_url("callback_url", policy)})


def new_agent(body: RegisterAgentBody) -> AgentCreate:
    return AgentCreate(
        name=body.name.strip(), style=STYLE, fields=agent_fields(body), secret=body.secret or None
    )


def whole_fields(body: WholeAgentBody) -> AgentFields:
    given = agent_fields(body).given()
    return msgspec.structs.replace(_DEFAULTS, **given, name=body.name.strip())


def changed_fields(body: AgentChangesBody) -> AgentFields:
    fields = agent_fields(body)
    return fields if body.name is UNSET else msgspec.structs.replace(fields, name=body.name.strip())


def agent_fields(body: RegisterAgentBody | WholeAgentBody | AgentChangesBody) -> AgentFields:
    """Return what is said of an agent but for its name."""
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
