"""The schemas of events that callers publish."""

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.errors import DefinitionError
from runwright.automations.model import time_text
from runwright.automations.service import AutomationEvent
from runwright.core.template_context import Json
from runwright.events.publish import (
    LONGEST_KEY,
    LONGEST_TYPE,
    PAYLOAD_LIMIT_BYTES,
    TYPE_PATTERN,
    PublishedEvent,
    type_problem,
)
from runwright.http.agh.fields import Time

_NUL: Final = b"\\u0000"


class EventIn(msgspec.Struct, frozen=True, kw_only=True):
    """An event to publish."""

    openapi_name: ClassVar[str] = "PublishBody"

    event: Annotated[
        str,
        Meta(
            examples=["session.stopped"],
            extra_json_schema={"pattern": TYPE_PATTERN, "maxLength": LONGEST_TYPE},
        ),
    ]
    workspace_id: Annotated[str, Meta(description="Its workspace; without one it is global.")] = ""
    data: dict[str, Any] | UnsetType = UNSET
    idempotency_key: Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_KEY})] = ""


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was published."""

    id: str
    event: str
    created_at: Time
    replayed: Annotated[
        bool, Meta(description="An earlier call with the same idempotency key has published it.")
    ]


class EventEnvelope(msgspec.Struct, frozen=True):
    """One event."""

    event: EventOut


def new_event(body: EventIn) -> AutomationEvent:
    """Return the event of a body. Raises DefinitionError if it is invalid."""
    if not body.event:
        raise DefinitionError("event is required")
    problem = type_problem(body.event)
    if problem is not None:
        raise DefinitionError(f"event is invalid: {problem}")
    payload = _encoded({} if body.data is UNSET else body.data)
    if len(body.idempotency_key) > LONGEST_KEY:
        raise DefinitionError(f"idempotency_key must have at most {LONGEST_KEY} characters")
    return AutomationEvent(
        event=body.event,
        workspace_id=body.workspace_id,
        payload=payload,
        idempotency_key=body.idempotency_key or None,
    )


def _encoded(data: dict[str, Json]) -> msgspec.Raw:
    try:
        payload = msgspec.json.encode(data)
    except UnicodeEncodeError:
        raise DefinitionError("data must hold no half characters") from None
    if len(payload) > PAYLOAD_LIMIT_BYTES:
        raise DefinitionError(f"data must have at most {PAYLOAD_LIMIT_BYTES} bytes")
    if _NUL in payload:
        raise DefinitionError("data must not hold the character NUL")
    return msgspec.Raw(payload)


def event_out(new: AutomationEvent, published: PublishedEvent) -> EventOut:
    """Return a published event as the API shows it."""
    return EventOut(
        id=published.event.id,
        event=new.event,
        created_at=time_text(published.event.created_at),
        replayed=published.replayed,
    )
