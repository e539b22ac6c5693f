"""The route by which callers publish events that fire triggers."""

from typing import Final

import msgspec
from litestar import Controller, post

from runwright.automations.errors import DefinitionError
from runwright.automations.events import Announcement
from runwright.automations.model import time_text
from runwright.core.template_context import Json
from runwright.events.publish import LONGEST_KEY, PAYLOAD_LIMIT_BYTES, type_problem
from runwright.http.agh.auth import WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.forms import PublishBody, read_fields
from runwright.http.agh.loose_json import Fields
from runwright.http.agh.wire import EventEnvelope, EventWire
from runwright.http.operations import Operation
from runwright.http.services import services_of

_NUL: Final = b"\\u0000"


class EventRoutes(Controller):
    """What happens elsewhere."""

    path = "/api/automation/events"

    @post(
        "/",
        guards=[WRITES],
        status_code=202,
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Publish an event",
            tag="Events",
            body=PublishBody,
            errors=(409,),
            example={"event": "session.stopped", "data": {"session_id": "sess-1", "stop_reason": "done"}},
        ).opt,
    )
    async def publish_automation_event(self, request: AghRequest) -> EventEnvelope:
        """Fires the triggers of this event, scope and workspace (ours)."""
        announcement = _read(await read_fields(request, "automation event"))
        published = await services_of(request).automations.events.publish(request.user, announcement)
        return EventEnvelope(
            EventWire(
                id=published.event.id,
                event=announcement.event,
                created_at=time_text(published.event.created_at),
                replayed=published.replayed,
            )
        )


def _read(fields: Fields) -> Announcement:
    event = fields.text("event")
    if not event:
        raise DefinitionError("event is required")
    problem = type_problem(event)
    if problem is not None:
        raise DefinitionError(f"event is invalid: {problem}")
    data: Json = fields.json("data")
    if data is not None and not isinstance(data, dict):
        raise DefinitionError("data must be an object")
    payload = _encoded(data or {})
    key = fields.text("idempotency_key") or None
    if key is not None and len(key) > LONGEST_KEY:
        raise DefinitionError(f"idempotency_key must have at most {LONGEST_KEY} characters")
    return Announcement(
        event=event, workspace_id=fields.text("workspace_id"), payload=payload, idempotency_key=key
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
