"""Publishing events that agents react to.

Events without an idempotency key are written in batches: while one commits, the next one gathers. A batch
whose commit is in doubt is not repeated, because its events could be appended twice; a publisher that repeats
an event gives it a key.
"""

from collections.abc import Callable, Sequence
from typing import Final

from runwright.agents.model import EventCreate, PublishResult
from runwright.agents.store.opening import EventKey, count_matching
from runwright.core.clock import Clock
from runwright.core.errors import InvalidError
from runwright.core.roles import Caller
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.events.publish import (
    PAYLOAD_LIMIT_BYTES,
    EventDraft,
    EventScope,
    publish_event,
    publish_events,
    type_problem,
)

BATCH: Final = 64
"""The number of events that are written together, each with up to 256 KiB."""


class Publisher:
    """Appends tenants' events to the log. A call returns after the commit."""

    def __init__(self, db: Database, *, clock: Clock, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called after an event was appended."""
        self._db = db
        self._clock = clock
        self._on_appended = on_appended
        self._batches: Batcher[EventDraft, PublishResult] = Batcher(
            self._publish_all, max_items=BATCH, max_in_flight=2, retry_seconds=0
        )

    async def stop(self) -> None:
        """Accept no more events; those that were accepted are committed."""
        await self._batches.stop()

    async def publish(self, caller: Caller, new: EventCreate) -> PublishResult:
        """Publish an event, once per idempotency key; the result has the number of agents that get it.

        InvalidError for a type of the server's own or a payload that is too large; ConflictError where the
        key belongs to another event.
        """
        _check(new)
        scope = EventScope(project=new.project, task_type=new.task_type)
        if new.idempotency_key is not None:
            result = await self._publish_once(caller, new, scope)
        else:
            result = await self._batches.add(
                EventDraft(
                    tenant_id=caller.tenant_id,
                    type=new.type,
                    payload=new.payload,
                    at=self._clock(),
                    scope=scope,
                )
            )
        self._on_appended()
        return result

    async def _publish_once(self, caller: Caller, new: EventCreate, scope: EventScope) -> PublishResult:
        key = EventKey(caller.tenant_id, new.type, new.project, new.task_type)
        async with self._db.acquire() as db, db.transaction():
            published = await publish_event(
                db,
                caller.tenant_id,
                new.type,
                new.payload,
                self._clock(),
                new.idempotency_key,
                scope=scope,
            )
            matching = await count_matching(db, [key])
        return PublishResult(published.event, published.replayed, matching[key])

    async def _publish_all(self, items: Sequence[EventDraft]) -> Sequence[PublishResult]:
        keys = [EventKey(one.tenant_id, one.type, one.scope.project, one.scope.task_type) for one in items]
        async with self._db.acquire() as db, db.transaction():
            events = await publish_events(db, items)
            matching = await count_matching(db, keys)
        return [
            PublishResult(event, replayed=False, executions=matching[key])
            for event, key in zip(events, keys, strict=True)
        ]


def _check(new: EventCreate) -> None:
    problems: dict[str, list[str]] = {}
    if why := type_problem(new.type):
        problems["event"] = [why]
    if len(bytes(new.payload)) > PAYLOAD_LIMIT_BYTES:
        problems["payload"] = [f"Must have at most {PAYLOAD_LIMIT_BYTES} bytes."]
    if problems:
        raise InvalidError(problems)
