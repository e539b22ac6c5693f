"""The routes of events that callers publish."""

from typing import Final

from runwright.http.agh.auth import RUNS
from runwright.http.agh.errors import AGH
from runwright.http.agh.events.schemas import EventEnvelope, EventIn, event_out, new_event
from runwright.http.agh.requests import read_body
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AGH, "/api/automation/events", tag="Events")


@ROUTES.add(
    "POST",
    "",
    RUNS,
    "Publish an event",
    status=202,
    body=EventIn,
    errors=(409,),
    example={"event": "session.stopped", "data": {"session_id": "sess-1", "stop_reason": "done"}},
)
async def publish_automation_event(request: Request) -> EventEnvelope:
    """Fires the triggers of this event in its scope and workspace (a Runwright extension)."""
    new = new_event(await read_body(request, EventIn, "automation event"))
    published = await request.services.automations.events.publish(request.caller, new)
    return EventEnvelope(event_out(new, published))
