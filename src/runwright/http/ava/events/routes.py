"""The routes of events: publish one, and read the log."""

from typing import Final

import msgspec

from runwright.core.errors import NotFoundError
from runwright.core.ids import EventId
from runwright.events.feed_store import LoggedEvent
from runwright.http.ava.authorization import READS, RUNS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import CursorPagination, Data, encode_position, known_id, read_position
from runwright.http.ava.events.schemas import (
    LIST_EVENTS,
    PUBLISH_EVENT,
    EventIn,
    EventOut,
    EventPage,
    EventQuery,
    PublishedEventOut,
    WebhookBodyOut,
    event_create,
    event_filter,
    event_out,
)
from runwright.http.ava.jobs.schemas import read_idempotency_key
from runwright.http.ava.webhooks.event_names import is_sent
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/events", tag="Events")


@ROUTES.add(
    "POST",
    "",
    RUNS,
    "Publish an event",
    body=EventIn,
    errors=(409, 422),
    idempotent=True,
    example={"type": "custom.report.done", "payload": {"rows": 12}},
)
async def publish_event(request: Request) -> Reply[Data[PublishedEventOut]]:
    """Publishes an event to the webhooks, agents and automations that subscribe to it, and to streams."""
    new = event_create(await request.body(PUBLISH_EVENT), read_idempotency_key(request.headers))
    published = await request.services.events.publisher.publish(request.caller, new)
    shown = event_out(LoggedEvent(event=published.event, data_omitted=False, worker_id=None))
    data = Data(to_out(PublishedEventOut, shown, executions=published.executions))
    return Reply(data, 200 if published.replayed else 201)


@ROUTES.add("GET", "", READS, "List events", query=EventQuery, errors=(422,))
async def list_events(request: Request) -> EventPage:
    """Returns events newest first. A page reads at most 20,000: it may be short and have a next one.

    The events `ava.job.queued`, `ava.job.started`, `ava.attempt.failed`, `ava.delivery.*`, `ava.execution.*`
    and `ava.run.*` are kept only while a webhook subscribes to them or a stream is open.
    """
    query = request.query(LIST_EVENTS)
    which = event_filter(query, request.services.clock())
    listing = await request.services.events.log.list(
        request.tenant_id, which, before=read_position(query.cursor), limit=query.per_page
    )
    before = listing.next_before
    return EventPage(
        [event_out(one) for one in listing.rows],
        CursorPagination(
            per_page=query.per_page,
            has_more=before is not None,
            next_cursor=None if before is None else encode_position(before),
        ),
    )


@ROUTES.add("GET", "/{event_id}", READS, "Get an event", errors=(404, 422))
async def get_event(request: Request) -> Data[EventOut]:
    """Returns the event with all of its data."""
    event_id = EventId(known_id("evt", "event", request.params["event_id"]))
    return Data(event_out(await request.services.events.log.get(request.tenant_id, event_id)))


@ROUTES.add("GET", "/{event_id}/webhook", READS, "Get the webhook body of an event", errors=(404, 422))
async def get_webhook_body(request: Request) -> WebhookBodyOut:
    """Returns the body that webhooks receive of the event, without an envelope.

    For events that no webhook can subscribe to, and for those whose subject was deleted, it is a 404.
    """
    event_id = EventId(known_id("evt", "event", request.params["event_id"]))
    event = (await request.services.events.log.get(request.tenant_id, event_id)).event
    body = await request.services.endpoints.body(event) if is_sent(event) else None
    if body is None:
        raise NotFoundError(f"The event {event_id} has no body for webhooks.")
    return msgspec.json.decode(body, type=WebhookBodyOut)
