"""The route of events that callers publish."""

from litestar import Controller, post

from runwright.http.agh.auth import WRITES, AghRequest
from runwright.http.agh.errors import MEDIA_TYPE
from runwright.http.agh.events.schemas import EventEnvelope, EventIn, event_out, new_event
from runwright.http.agh.requests import read_body
from runwright.http.operations import Operation
from runwright.http.services import services_of


class EventRoutes(Controller):
    """Events that callers publish."""

    path = "/api/automation/events"

    @post(
        "/",
        guards=[WRITES],
        status_code=202,
        media_type=MEDIA_TYPE,
        opt=Operation(
            "Publish an event",
            tag="Events",
            body=EventIn,
            errors=(409,),
            example={"event": "session.stopped", "data": {"session_id": "sess-1", "stop_reason": "done"}},
        ).opt,
    )
    async def publish_automation_event(self, request: AghRequest) -> EventEnvelope:
        """Fires the triggers of this event in its scope and workspace (a Runwright extension)."""
        new = new_event(await read_body(request, EventIn, "automation event"))
        published = await services_of(request).automations.events.publish(request.user, new)
        return EventEnvelope(event_out(new, published))
