"""Publishing events that agents react to."""

from collections.abc import Callable

from runwright.agents.model import Announced, NewEvent
from runwright.agents.store.opening import count_matching
from runwright.core.clock import Clock
from runwright.core.errors import InvalidError
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.events.publish import PAYLOAD_LIMIT_BYTES, Scope, publish_event, type_problem


class Publisher:
    """Puts what tenants say into the log. A call returns after that is committed."""

    def __init__(self, db: Database, *, clock: Clock, on_appended: Callable[[], None] = lambda: None) -> None:
        """`on_appended` is called when an event waits for the router."""
        self._db = db
        self._clock = clock
        self._on_appended = on_appended

    async def publish(self, caller: Caller, new: NewEvent) -> Announced:
        """Publish an event, once per idempotency key; says how many agents get it, as of now.

        InvalidError for a type that only we may state or a payload that is too large; ConflictError
        where the key stands for another event.
        """
        problems: dict[str, list[str]] = {}
        if why := type_problem(new.type):
            problems["event"] = [why]
        if len(bytes(new.payload)) > PAYLOAD_LIMIT_BYTES:
            problems["payload"] = [f"Must have at most {PAYLOAD_LIMIT_BYTES} bytes."]
        if problems:
            raise InvalidError(problems)
        async with self._db.acquire() as db, db.transaction():
            published = await publish_event(
                db,
                caller.tenant_id,
                new.type,
                new.payload,
                self._clock(),
                new.idempotency_key,
                scope=Scope(project=new.project, task_type=new.task_type),
            )
            matching = await count_matching(
                db,
                tenant_id=caller.tenant_id,
                type=new.type,
                project=new.project,
                task_type=new.task_type,
            )
        self._on_appended()
        return Announced(published.event, published.replayed, matching)
