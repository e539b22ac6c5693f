"""Hands events to whoever wants them.

An event that somebody wants stands in a queue from the transaction that made it true. A pass takes
some off the queue and makes a delivery for each subscriber, in one transaction: a crash before its
commit leaves them in the queue, after it they are made, so there is exactly one delivery per event
and endpoint. Nothing is read by a cursor, so that an event whose transaction commits late is not
passed over; routers skip what another one holds, so any number of them may run.
"""

from typing import Final

from runwright.core.clock import Clock
from runwright.core.notices import Notice
from runwright.db.pool import Database
from runwright.deliveries.store.queue import insert_deliveries
from runwright.engine.loop import PassLoop
from runwright.events.hints import EventHints
from runwright.events.store import anybody_subscribed, take_wanted

BATCH: Final = 500
BUSY_PAUSE_SECONDS: Final = 0.25
IDLE_PAUSE_SECONDS: Final = 1.0
_LOOK_EVERY: Final = 4


class Router:
    """Looks for events when a hint says so, four times a second while anybody subscribes, else once."""

    def __init__(self, db: Database, *, clock: Clock, hints: EventHints, notice: Notice) -> None:
        self._db = db
        self._clock = clock
        self._hints = hints
        self._notice = notice
        self._somebody = True
        self.loop = PassLoop("router", self._make_pass, notice=notice)
        hints.on_appended(self.loop.wake)

    async def start(self) -> None:
        """Begin to route."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop routing."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        if self.loop.passes % _LOOK_EVERY == 0:
            self._hints.somebody = self._somebody = await anybody_subscribed(self._db)
        async with self._db.acquire() as db, db.transaction():
            wanted = await take_wanted(db, limit=BATCH)
            pairs = [(one.event, subscriber) for one in wanted for subscriber in one.subscriber_ids]
            made = await insert_deliveries(db, pairs, now=self._clock()) if pairs else 0
        if made:
            self._notice("deliveries_made", events=len(wanted), deliveries=made)
            self._hints.due()
        if len(wanted) == BATCH:
            return 0.0
        return BUSY_PAUSE_SECONDS if self._somebody else IDLE_PAUSE_SECONDS
