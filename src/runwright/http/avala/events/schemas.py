"""The schemas of events: what a request publishes, and the response."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta, Raw

from runwright.agents.model import EventCreate, PublishResult
from runwright.core.ids import uuid_of
from runwright.events.publish import LONGEST_KEY, PAYLOAD_LIMIT_BYTES
from runwright.http.avala.event_names import (
    LONGEST_NAME,
    PUBLISHABLE_PATTERN,
    Parts,
    publishable,
    text_of,
    wire_name,
)
from runwright.http.avala.fields import Uid, canonical_uuid, object_of_at_most, text_of_at_most
from runwright.http.validation import Validator

_LONGEST_SCOPE: Final = 255
_SCOPE: Final = Meta(extra_json_schema={"maxLength": _LONGEST_SCOPE})


class EventIn(msgspec.Struct, kw_only=True):
    """An event to publish."""

    openapi_name: ClassVar[str] = "EventBody"

    event: Annotated[
        str,
        Meta(
            description="One of the nine documented names, or `custom.…`.",
            extra_json_schema={"pattern": PUBLISHABLE_PATTERN, "maxLength": LONGEST_NAME},
        ),
    ]
    payload: Annotated[Raw, Meta(description="At most 256 KiB.", extra_json_schema={"type": "object"})] = (
        msgspec.field(default_factory=lambda: Raw(b"{}"))
    )
    project: Annotated[str, Meta(description="Default: the payload's `project_uid`."), _SCOPE] | None = None
    task_type: Annotated[str, Meta(description="Default: the payload's `task_type`."), _SCOPE] | None = None
    idempotency_key: (
        Annotated[
            str,
            Meta(
                description="A repeated key with the same event publishes nothing, for a day.",
                extra_json_schema={"minLength": 1, "maxLength": LONGEST_KEY},
            ),
        ]
        | None
    ) = None


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """A published event, and the number of agents that get it."""

    uid: Uid
    event: str
    executions: int


PUBLISH_EVENT: Final = Validator(
    EventIn,
    {
        "event": lambda name: () if publishable(name) else (("", f"Invalid events: {name[:100]}"),),
        "payload": object_of_at_most(PAYLOAD_LIMIT_BYTES),
        "project": text_of_at_most(_LONGEST_SCOPE),
        "task_type": text_of_at_most(_LONGEST_SCOPE),
        "idempotency_key": text_of_at_most(LONGEST_KEY, blank=False),
    },
    lenient=True,
)


def event_create(body: EventIn) -> EventCreate:
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
    """Return the project or task type in a payload; None if no agent could filter by it."""
    text = text_of(parts, name)
    return text if text is not None and 0 < len(text) <= _LONGEST_SCOPE else None


def event_out(published: PublishResult) -> EventOut:
    return EventOut(
        uid=uuid_of(published.event.id),
        event=wire_name(published.event.type),
        executions=published.executions,
    )
