"""What requests about executions, decisions and events may hold."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from runwright.agents.model import (
    LONGEST_LEASE_SECONDS,
    LONGEST_REASON,
    METADATA_LIMIT_BYTES,
    Action,
    Decision,
    EventCreate,
    ExecutionStatus,
)
from runwright.core.errors import InvalidError
from runwright.events.publish import LONGEST_KEY, PAYLOAD_LIMIT_BYTES
from runwright.http.avala.event_names import publishable
from runwright.http.avala.paging import PageQuery
from runwright.http.avala.payloads import Parts, text_of
from runwright.http.avala.rules import canonical_uuid, is_uuid, object_of_at_most, text_of_at_most
from runwright.http.checks import Form

_LONGEST_SCOPE: Final = 255
NOTHING: Final = Raw(b"null")

Reason = Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_REASON})]
Metadata = Annotated[Raw, Meta(description="At most 64 KB.", extra_json_schema={"type": ["object", "null"]})]
Seconds = Annotated[
    int,
    Meta(
        description=f"Ours: hold the oldest pending executions for 1 to {LONGEST_LEASE_SECONDS} seconds;"
        " they are `running`, and no other poller gets them meanwhile. Needs `tenant-member`.",
        extra_json_schema={"minimum": 1, "maximum": LONGEST_LEASE_SECONDS},
    ),
]


class ExecutionQuery(PageQuery, frozen=True, kw_only=True):
    """Which executions of all agents."""

    status: ExecutionStatus | UnsetType = UNSET
    action: Action | UnsetType = UNSET


class AgentExecutionQuery(ExecutionQuery, frozen=True, kw_only=True):
    """Which executions of an agent, and whether to hold them."""

    claim: Seconds | UnsetType = UNSET


class ActionBody(msgspec.Struct, kw_only=True):
    """An agent's decision."""

    execution: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    action: Action
    reason: Reason | None = None
    metadata: Metadata = msgspec.field(default_factory=lambda: NOTHING)


class DecisionBody(msgspec.Struct, kw_only=True):
    """A person's decision over what an agent has flagged."""

    action: Literal["approve", "reject", "skip"]
    reason: Reason | None = None
    metadata: Metadata = msgspec.field(default_factory=lambda: NOTHING)


class EventBody(msgspec.Struct, kw_only=True):
    """An event to publish."""

    event: Annotated[str, Meta(description="One of the nine documented names, or `custom.…`.")]
    payload: Annotated[Raw, Meta(description="At most 256 KiB.", extra_json_schema={"type": "object"})] = (
        msgspec.field(default_factory=lambda: Raw(b"{}"))
    )
    project: Annotated[str, Meta(description="Default: the payload's `project_uid`.")] | None = None
    task_type: Annotated[str, Meta(description="Default: the payload's `task_type`.")] | None = None
    idempotency_key: (
        Annotated[
            str,
            Meta(
                description="For a day, the same key with the same event publishes nothing again.",
                extra_json_schema={"minLength": 1, "maxLength": LONGEST_KEY},
            ),
        ]
        | None
    ) = None


_SAID: Final = {
    "reason": text_of_at_most(LONGEST_REASON),
    "metadata": object_of_at_most(METADATA_LIMIT_BYTES, nullable=True),
}
ACTION: Final = Form(ActionBody, {**_SAID, "execution": is_uuid}, lenient=True)
DECISION: Final = Form(DecisionBody, _SAID, lenient=True)
EVENT: Final = Form(
    EventBody,
    {
        "event": lambda name: () if publishable(name) else (("", f"Invalid events: {name[:100]}"),),
        "payload": object_of_at_most(PAYLOAD_LIMIT_BYTES),
        "project": text_of_at_most(_LONGEST_SCOPE),
        "task_type": text_of_at_most(_LONGEST_SCOPE),
        "idempotency_key": text_of_at_most(LONGEST_KEY, blank=False),
    },
    lenient=True,
)


def decision_of(body: ActionBody | DecisionBody) -> Decision:
    metadata = msgspec.json.decode(body.metadata, type=dict[str, Any] | None)
    return Decision(action=Action(body.action), reason=body.reason or None, metadata=metadata)


def new_event(body: EventBody) -> EventCreate:
    parts = msgspec.json.decode(body.payload, type=dict[str, Raw])
    project = body.project or _scope_of(parts, "project_uid")
    return EventCreate(
        type=body.event,
        payload=body.payload,
        project=None if project is None else canonical_uuid(project) or project,
        task_type=body.task_type or _scope_of(parts, "task_type"),
        idempotency_key=body.idempotency_key,
    )


def _scope_of(parts: Parts, name: str) -> str | None:
    """Return what a payload says that an event is about; what no agent can name, it does not say."""
    text = text_of(parts, name)
    return text if text is not None and 0 < len(text) <= _LONGEST_SCOPE else None


def read_claim(query: dict[str, str]) -> int | None:
    """Return for how many seconds a poller wants to hold what it gets; InvalidError."""
    text = query.get("claim")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LONGEST_LEASE_SECONDS:
        return int(text)
    raise InvalidError({"claim": [f"Must be a number of seconds from 1 to {LONGEST_LEASE_SECONDS}."]})


def read_choice(query: dict[str, str], name: str, choices: type[ExecutionStatus | Action]) -> str | None:
    """Return what a list is narrowed to; InvalidError for what nothing can be."""
    text = query.get(name)
    if text is not None and text not in list(choices):
        message = f"Select a valid choice. {text[:50]} is not one of the available choices."
        raise InvalidError({name: [message]})
    return text
