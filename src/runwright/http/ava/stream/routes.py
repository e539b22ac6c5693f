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

    `open` comes once everything that happens from then on will come; `event` for each entry of the log, as
    the list of events has them; `log` where a job has written lines; `heartbeat` every 10 seconds while
    nothing else comes; `end`, with a `reason`, before the server ends the stream.

    A client that was cut off sends the last id as `Last-Event-ID` and gets what it has missed, some events
    perhaps again (each has its own `id`). If that is not known any more, a `gone` comes instead: read again
    what you show.
    """
    where = stream_filter(request.query(STREAM_EVENTS))
    since = read_stream_position(request.headers)
    request.edge.streams.check(request.tenant_id)
    return EventStreamResponse(event_frames(request, where, since))
