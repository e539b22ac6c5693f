"""A job's log as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from runwright.core.turns import Turns
from runwright.http.ava.jobs.log_schemas import line_out
from runwright.http.ava.jobs.schemas import ProgressOut
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.response import PART_BYTES, server_sent_event
from runwright.job_views.logs import TailEnd, TailPart
from runwright.job_views.model import LogLine
from runwright.jobs.model import JobProgress

SILENCE_SECONDS: Final = 15.0
"""After this time without an event a comment is sent, so that proxies keep the connection open."""

_RETRY: Final = b"retry: 1000\n\n"
_NOTHING: Final = b": nothing new\n\n"


async def log_events(request: Request, parts: AsyncIterator[TailPart]) -> AsyncGenerator[bytes, None]:
    """Yield the events of a log that is being tailed, for as long as the caller has access."""
    loop = asyncio.get_running_loop()
    tenant_id, refused = request.tenant_id, asyncio.Event()
    watch = request.services.credential_watch.watching(tenant_id, request.credentials, refused.set)
    with request.edge.streams.counted(tenant_id), watch:
        yield _RETRY
        last = loop.time()
        async for part in parts:
            if refused.is_set():
                return
            if isinstance(part, TailEnd):
                yield server_sent_event("end", part)
            elif isinstance(part, JobProgress):
                yield server_sent_event("progress", to_out(ProgressOut, part))
            elif part:
                async for events in _log_events(part):
                    yield events
            elif loop.time() - last < SILENCE_SECONDS:
                continue
            else:
                yield _NOTHING
            last = loop.time()


async def _log_events(lines: list[LogLine]) -> AsyncIterator[bytes]:
    """Yield the events of lines, several at once: long lines make more than is sent in one step."""
    events, turns = bytearray(), Turns()
    for line in lines:
        events += server_sent_event("log", line_out(line), line.seq)
        if len(events) >= PART_BYTES:
            yield bytes(events)
            events.clear()
        await turns.between()
    if events:
        yield bytes(events)
