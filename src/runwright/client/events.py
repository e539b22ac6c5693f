"""`rw.events`, `rw.stream` and `rw.inbox`: what happens, and what waits for a person."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.base import decode_info
from runwright.client.models.events import (
    AskOptions,
    EventInfo,
    EventListOptions,
    InboxInfo,
    QuestionLinkInfo,
    StreamEntry,
    StreamHint,
    StreamOptions,
)
from runwright.client.moments import renamed_times
from runwright.client.pagination import PAGE_ROWS, PageSource, Results, filters
from runwright.client.session import Session, new_idempotency_key

_SHOWN: Final = frozenset({"open", "event", "log", "progress", "gone"})


class EventsApi(DualMode[M]):
    """The events of the tenant."""

    def list(self, **listing: Unpack[EventListOptions]) -> Results[M, EventInfo]:
        """Return events, newest first."""
        query = filters(renamed_times({**listing}))
        return Results(self._session, PageSource(into=EventInfo, route="GET /v1/ava/events", query=query))

    @call
    async def get(self, event_id: str) -> EventInfo:
        """Return an event with all of its data."""
        return await self._session.read(EventInfo, "GET /v1/ava/events/{event_id}", event_id)

    @call
    async def publish(
        self, type: str, payload: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
    ) -> EventInfo:
        """Publish a `custom.…` event for webhooks, agents, automations and streams."""
        return await self._session.read(
            EventInfo,
            "POST /v1/ava/events",
            json={"type": type, "payload": payload or {}},
            headers=new_idempotency_key(idempotency_key),
        )

    @call
    async def webhook_body(self, event_id: str) -> bytes:
        """Return the body that webhooks receive of an event, as it is sent."""
        return (await self._session.send("GET /v1/ava/events/{event_id}/webhook", event_id)).body


class InboxApi(DualMode[M]):
    """What waits for a person."""

    @call
    async def ask(
        self,
        question: str,
        payload: Mapping[str, object] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[AskOptions],
    ) -> InboxInfo:
        """Put a question into the inbox; its end is the event `ava.question.answered` or `.timed_out`."""
        return await self._session.read(
            InboxInfo,
            "POST /v1/ava/inbox",
            json={"question": question, "payload": payload or {}, **options},
            headers=new_idempotency_key(idempotency_key),
        )

    @call
    async def link(self, item_id: str, user_id: str, *, ttl_seconds: int | None = None) -> QuestionLinkInfo:
        """Make a link with which a user answers a question, once, without a key."""
        ttl = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}
        route = "POST /v1/ava/inbox/{item_id}/links"
        return await self._session.read(QuestionLinkInfo, route, item_id, json={"user_id": user_id, **ttl})

    @call
    async def withdraw(self, item_id: str) -> InboxInfo:
        """End a question without an answer."""
        return await self._session.read(InboxInfo, "DELETE /v1/ava/inbox/{item_id}", item_id)

    def list(self, *, status: str = "waiting", per_page: int = PAGE_ROWS) -> Results[M, InboxInfo]:
        """Return questions, newest first: those that wait, or those that have ended (`answered`)."""
        query = {"filter[status]": status, "per_page": per_page}
        return Results(self._session, PageSource(into=InboxInfo, route="GET /v1/ava/inbox", query=query))

    @call
    async def get(self, item_id: str) -> InboxInfo:
        """Return a question with its whole payload."""
        return await self._session.read(InboxInfo, "GET /v1/ava/inbox/{item_id}", item_id)

    @call
    async def answer(self, item_id: str, answer: str, *, note: str | None = None) -> InboxInfo:
        """Answer a question with one of its `answers`. The first answer stands."""
        route = "POST /v1/ava/inbox/{item_id}/answer"
        return await self._session.read(InboxInfo, route, item_id, json={"answer": answer, "note": note})


async def stream_events(
    session: Session, which: StreamOptions, last_event_id: str
) -> AsyncGenerator[StreamEntry, None]:
    """Yield what a stream brings, across lost connections."""
    query = {f"filter[{name}]": value for name, value in which.items()}
    events = session.follow("GET /v1/ava/stream", query=query, last_id=last_event_id)
    async with aclosing(events):
        async for event in events:
            if event.event in _SHOWN:
                yield _entry(event.event, event.data.encode())


def _entry(kind: str, data: bytes) -> StreamEntry:
    if kind == "event":
        event = decode_info(EventInfo, data)
        return StreamEntry(kind=kind, event=event, subject_id=event.subject_id, worker_id=event.worker_id)
    if kind not in {"log", "progress"}:
        return StreamEntry(kind=kind)
    hint = decode_info(StreamHint, data)
    return StreamEntry(
        kind=kind, progress=hint.progress, subject_id=hint.subject_id, worker_id=hint.worker_id
    )
