"""Publishing events that agents react to.

Events without a key are written in batches: while one commits, the next one gathers. A batch whose
commit is in doubt is not sent again, for its events would then be there twice; whoever publishes may
say a key, and send the event again.
"""

from collections.abc import Callable, Sequence
from typing import Final

from runwright.agents.model import EventCreate, PublishResult
from runwright.agents.store.opening import Wish, count_matching
from runwright.core.clock import Clock
from runwright.core.errors import InvalidError
from runwright.core.roles import Caller
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.events.publish import (
    PAYLOAD_LIMIT_BYTES,
    Said,
    Scope,
    publish_event,
    publish_events,
    type_problem,
)

BATCH: Final = 64
"""Events that are written together; each may have its 256 KiB."""


class Publisher:
    """Puts what tenants say into the log. A call returns after that is committed."""

    def __init__(self, db: Database, *, clock: Clock, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called when an event waits for the router."""
        self._db = db
        self._clock = clock
        self._on_appended = on_appended
        self._said: Batcher[Said, PublishResult] = Batcher(
            self._publish_all, max_items=BATCH, lanes=2, retry_seconds=0
        )

    async def stop(self) -> None:
        """Take no more events; what was taken is committed."""
        await self._said.stop()

    async def publish(self, caller: Caller, new: EventCreate) -> PublishResult:
        """Publish an event, once per idempotency key; says how many agents get it, as of now.

        InvalidError for a type that only we may state or a payload that is too large; ConflictError
        where the key stands for another event.
        """
        _check(new)
        scope = Scope(project=new.project, task_type=new.task_type)
        if new.idempotency_key is not None:
            announced = await self._publish_once(caller, new, scope)
        else:
            announced = await self._said.add(
                Said(
                    tenant_id=caller.tenant_id,
                    type=new.type,
                    payload=new.payload,
                    at=self._clock(),
                    scope=scope,
                )
            )
        self._on_appended()
        return announced

    async def _publish_once(self, caller: Caller, new: EventCreate, scope: Scope) -> PublishResult:
        wish = Wish(caller.tenant_id, new.type, new.project, new.task_type)
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
            matching = await count_matching(db, [wish])
        return PublishResult(published.event, published.replayed, matching[wish])

    async def _publish_all(self, items: Sequence[Said]) -> Sequence[PublishResult]:
        wishes = [Wish(one.tenant_id, one.type, one.scope.project, one.scope.task_type) for one in items]
        async with self._db.acquire() as db, db.transaction():
            events = await publish_events(db, items)
            matching = await count_matching(db, wishes)
        return [
            PublishResult(event, replayed=False, executions=matching[wish])
            for event, wish in zip(events, wishes, strict=True)
        ]


def _check(new: EventCreate) -> None:
    problems: dict[str, list[str]] = {}
    if why := type_problem(new.type):
        problems["event"] = [why]
    if len(bytes(new.payload)) > PAYLOAD_LIMIT_BYTES:
        problems["payload"] = [f"Must have at most {PAYLOAD_LIMIT_BYTES} bytes."]
    if problems:
        raise InvalidError(problems)
