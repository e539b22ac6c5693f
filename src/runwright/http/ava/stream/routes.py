"""The route of `/v1/ava/stream`: the events of a tenant as they happen."""

from typing import Final

from starlette.responses import Response

from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.stream.frames import event_frames
from runwright.http.ava.stream.schemas import STREAM_EVENTS, StreamQuery, read_stream_position, stream_filter
from runwright.http.event_stream import EventStreamResponse
from runwright.http.request import Request
from runwright.http.response import EVENT_STREAM
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/stream", tag="Events")


@ROUTES.add("GET", "", READS, "Stream events", query=StreamQuery, errors=(422,), produces=EVENT_STREAM)
async def stream_events(request: Request) -> Response:
    """Server-sent events: what happens to jobs, schedules, deliveries, executions and runs, and your own.

    `open` is sent first: everything that happens from then on follows; `event` for each entry of the log, as
    in the list of events; `log` when a job has written lines; `progress` when one reports how far it is;
    `heartbeat` every 10 seconds without another message; `end`, with a `reason`, before the server ends the
    stream.

    A client that was disconnected sends the last id as `Last-Event-ID` and receives what it has missed, some
    events perhaps again (each has its own `id`). If these events are not kept any more, `gone` is sent
    instead: read the lists again.
    """
    where = stream_filter(request.query(STREAM_EVENTS))
    since = read_stream_position(request.headers)
    request.edge.streams.check(request.tenant_id)
    return EventStreamResponse(event_frames(request, where, since))
