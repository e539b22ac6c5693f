"""The route that publishes events."""

from typing import Final

from runwright.http.avala.authorization import ACTS
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.events.schemas import PUBLISH_EVENT, EventIn, EventOut, event_create, event_out
from runwright.http.avala.requests import read_body
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVALA, f"{PREFIX}/events", tag="Executions")


@ROUTES.add(
    "POST",
    "",
    ACTS,
    "Publish an event",
    body=EventIn,
    errors=(409,),
    unchanged="Published earlier, with the same idempotency key",
    example={"event": "result.submitted", "payload": {"task_type": "polygon"}},
)
async def publish_event(request: Request) -> Reply[EventOut]:
    """Ours: an event for agents and webhooks. The response has the number of agents that get it."""
    new = event_create(await read_body(request, PUBLISH_EVENT))
    published = await request.services.events.publisher.publish(request.caller, new)
    return Reply(event_out(published), 200 if published.replayed else 201)
