"""Answers that go on for long: server-sent events, and how many of them there may be."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
from litestar.connection import ASGIConnection

from runwright.core.errors import UnavailableError

EVENT_STREAM: Final = "text/event-stream"

_encode = msgspec.json.Encoder().encode


class OpenStreams:
    """Counts the streams of this process; a tenant that has many gets no more."""

    def __init__(self, *, limit: int, limit_per_tenant: int) -> None:
        self._limit = limit
        self._limit_per_tenant = limit_per_tenant
        self._open: Counter[str] = Counter()

    def check(self, tenant_id: str) -> None:
        """Raise UnavailableError where there are too many already."""
        if self._open.total() >= self._limit or self._open[tenant_id] >= self._limit_per_tenant:
            raise UnavailableError("Too many streams are open; close some, or read the log by pages.")

    @contextmanager
    def counted(self, tenant_id: str) -> Iterator[None]:
        """Count one stream while it is being sent."""
        self._open[tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant_id] -= 1
            self._open += Counter()  # drop tenants without streams


def open_streams(connection: ASGIConnection[Any, Any, Any, Any]) -> OpenStreams:
    """Return the streams of the application of a request."""
    return cast("OpenStreams", connection.app.state.streams)


def server_sent_event(event: str, data: object, event_id: int | None = None) -> bytes:
    """Return one event; JSON has no line breaks, so it is one line of data."""
    head = f"event: {event}\n" if event_id is None else f"id: {event_id}\nevent: {event}\n"
    return head.encode() + b"data: " + _encode(data) + b"\n\n"
