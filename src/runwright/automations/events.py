"""Publish events that may fire triggers."""

from collections.abc import Callable

import msgspec

from runwright.automations.event_subscriptions import workspace_subject
from runwright.core.clock import Clock
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.events.publish import EventScope, PublishedEvent, publish_event
from runwright.tenants.audit import record


class AutomationEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to publish, for a workspace or (empty) globally; `payload` is the JSON text of an object."""

    event: str
    workspace_id: str
    payload: msgspec.Raw
    idempotency_key: str | None


class AutomationEvents:
    """Publish events."""

    def __init__(self, db: Database, *, clock: Clock, on_event: Callable[[], None]) -> None:
        """`on_event` is called after an event was published."""
        self._db = db
        self._clock = clock
        self._on_event = on_event

    async def publish(self, caller: Caller, new: AutomationEvent) -> PublishedEvent:
        """Append an event to the log. Raises ConflictError if its idempotency key was used for another."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            published = await publish_event(
                db,
                caller.tenant_id,
                new.event,
                new.payload,
                now,
                new.idempotency_key,
                scope=EventScope(subject_id=workspace_subject(new.workspace_id)),
            )
            if not published.replayed:
                await record(db, caller, "event.published", published.event.id, now=now)
        self._on_event()
        return published
