"""Hands events to whoever wants them.

An event that somebody wants stands in a queue from the transaction that made it true. A pass takes
some off the queue and, in one transaction, has the sink of each kind of subscriber make what they get
(a delivery for an endpoint): a crash before its commit leaves them in the queue, after it they are
made, so there is exactly one of each per event and subscriber. Nothing is read by a cursor, so that an
event whose transaction commits late is not passed over; routers skip what another one holds, so any
number of them may run.

The kind of a subscriber is the prefix of its id. All kinds must have a sink wherever a router runs:
what is for a kind that has none is noted and gone.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock, Stopwatch
from runwright.db.pool import Database, PoolConnection
from runwright.events.model import Event
from runwright.events.notifications import EventNotifications
from runwright.events.store import TAKE_WEIGHT, Wanted, anybody_subscribed, take_wanted
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import EventsRouted, EventsWithoutSink

BATCH: Final = 500
BUSY_PAUSE_SECONDS: Final = 0.25
IDLE_PAUSE_SECONDS: Final = 1.0
_LOOK_EVERY: Final = 4

Sink = Callable[[PoolConnection, Sequence[tuple[Event, str]], datetime], Awaitable[int]]
"""Makes what subscribers of a kind get of events, in the router's transaction; returns how many it made."""


class Router:
    """Looks for events when a hint says so, four times a second while anybody subscribes, else once."""

    def __init__(
        self,
        db: Database,
        *,
        sinks: Mapping[str, Sink],
        clock: Clock,
        hints: EventNotifications,
        emit: Emit,
    ) -> None:
        """`sinks` by the prefix of the subscribers' ids."""
        self._db = db
        self._sinks = sinks
        self._clock = clock
        self._hints = hints
        self._emit = emit
        self._somebody = True
        self.loop = PassLoop("router", self._make_pass, emit=emit)
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
        watch = Stopwatch()
        async with self._db.acquire() as db, db.transaction():
            wanted = await take_wanted(db, limit=BATCH)
            made = 0
            for kind, pairs in _by_kind(wanted).items():
                if kind in self._sinks:
                    made += await self._sinks[kind](db, pairs, self._clock())
                else:
                    self._emit(EventsWithoutSink(kind=kind, count=len(pairs)))
        if made:
            self._emit(EventsRouted(events=len(wanted), created=made, duration_seconds=watch.seconds()))
            self._hints.due()
        if len(wanted) >= BATCH or sum(one.weight for one in wanted) >= TAKE_WEIGHT:
            return 0.0
        return BUSY_PAUSE_SECONDS if self._somebody else IDLE_PAUSE_SECONDS


def _by_kind(wanted: Sequence[Wanted]) -> dict[str, list[tuple[Event, str]]]:
    kinds: dict[str, list[tuple[Event, str]]] = {}
    for one in wanted:
        for subscriber_id in one.subscriber_ids:
            kinds.setdefault(subscriber_id.partition("_")[0], []).append((one.event, subscriber_id))
    return kinds
