"""The server-sent events of one stream.

An event is encoded once, however many streams it goes to.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from runwright import __version__
from runwright.core.errors import UnavailableError
from runwright.core.turns import Turns
from runwright.db.errors import transient
from runwright.events.feed_stream import (
    EndReason,
    FeedEvent,
    FeedPart,
    FeedStream,
    Gone,
    LogHint,
    ProgressHint,
)
from runwright.events.log_position import LogPosition
from runwright.http.ava.events.schemas import event_out
from runwright.http.ava.stream.schemas import (
    EndOut,
    GoneOut,
    HeartbeatOut,
    LogHintOut,
    OpenOut,
    StreamFilter,
    progress_hint_out,
)
from runwright.http.fields import format_time
from runwright.http.request import Request
from runwright.http.response import server_sent_event

HEARTBEAT_SECONDS: Final = 10.0
CHUNK_BYTES: Final = 64 * 1024
RETRY_MS: Final = (1_000, 3_000)
"""After how long a client connects again; at random, so that not all come at once."""

_MESSAGES: Final = {
    EndReason.STOPPING: "The server stops; connect again.",
    EndReason.SLOW: "The client is slower than what happens; connect again, with a narrower filter.",
    EndReason.REVOKED: "The key was revoked or has expired, or the tenant was suspended.",
    EndReason.UNAVAILABLE: "The event log cannot be read now; connect again.",
}


async def event_frames(
    request: Request, which: StreamFilter, since: LogPosition | None
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a stream until it ends."""
    feed, tenant_id = request.services.events.feed, request.tenant_id
    stream = FeedStream(which)
    with ExitStack() as stack:
        stack.enter_context(request.edge.streams.counted(tenant_id))
        revoked = partial(stream.end, EndReason.REVOKED)
        watch = request.services.credential_watch
        stack.enter_context(watch.watching(tenant_id, request.credentials, revoked))
        stack.enter_context(feed.streaming(tenant_id, stream))
        yield b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311  jitter
        async for frame in _until_joined(request, stream):
            yield frame
        if stream.start is not None:
            yield _open_frame(request, stream.start, since)
            if since is not None:
                async for frame in _missed(request, stream, since):
                    yield frame
        async for frame in _live(request, stream):
            yield frame


async def _until_joined(request: Request, stream: FeedStream) -> AsyncGenerator[bytes, None]:
    while not await stream.wait_joined(HEARTBEAT_SECONDS):
        yield _heartbeat(request, None)


def _open_frame(request: Request, start: LogPosition, since: LogPosition | None) -> bytes:
    opened = OpenOut(tenant_id=request.tenant_id, server_version=__version__, resumed=since is not None)
    # A stream that has not caught up yet keeps its position until it has.
    return server_sent_event("open", opened, start.text if since is None else None)


async def _missed(request: Request, stream: FeedStream, since: LogPosition) -> AsyncGenerator[bytes, None]:
    try:
        async for parts in request.services.events.feed.missed(request.tenant_id, stream, since):
            async for chunk in _chunks(parts):
                yield chunk
    except Exception as error:
        if not (isinstance(error, UnavailableError) or transient(error)):
            raise
        stream.end(EndReason.UNAVAILABLE)


async def _live(request: Request, stream: FeedStream) -> AsyncGenerator[bytes, None]:
    while (parts := await stream.next(HEARTBEAT_SECONDS)) is not None:
        async for chunk in _chunks(parts):
            yield chunk
        if not parts:
            yield _heartbeat(request, request.services.events.feed.position(request.tenant_id))
    reason = stream.ended or EndReason.STOPPING
    yield server_sent_event("end", EndOut(reason.value, _MESSAGES[reason]))


def _heartbeat(request: Request, position: LogPosition | None) -> bytes:
    at = HeartbeatOut(format_time(request.services.clock()))
    return server_sent_event("heartbeat", at, None if position is None else position.text)


async def _chunks(parts: Sequence[FeedPart]) -> AsyncGenerator[bytes, None]:
    """Yield the frames of parts in chunks of a bounded size."""
    frames: list[bytes] = []
    size, turns = 0, Turns()
    for part in parts:
        await turns.between()
        frame = _frame(part)
        frames.append(frame)
        size += len(frame)
        if size >= CHUNK_BYTES:
            yield b"".join(frames)
            frames, size = [], 0
    if frames:
        yield b"".join(frames)


def _frame(part: FeedPart) -> bytes:
    if isinstance(part, Gone):
        return server_sent_event("gone", GoneOut(), part.position.text)
    if isinstance(part, LogHint):
        return server_sent_event("log", LogHintOut(subject_id=part.subject_id, worker_id=part.worker_id))
    if isinstance(part, ProgressHint):
        return server_sent_event("progress", progress_hint_out(part))
    return _event_frame(part)


def _event_frame(part: FeedEvent) -> bytes:
    if not part.frame:
        part.frame = server_sent_event("event", event_out(part.logged), part.position.text)
    return part.frame
