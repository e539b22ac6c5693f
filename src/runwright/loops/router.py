"""Routes events to their subscribers.

An event that has subscribers is in a queue from the transaction that made it true. A pass deletes some events
from the queue and, in the same transaction, calls the sink of each kind of subscriber, which creates what the
subscribers get (a delivery for an endpoint). A crash before the commit leaves the events in the queue, after
it everything exists: exactly one item per event and subscriber. Events are not read by a cursor, which would
miss one whose transaction commits late. Routers skip what another one holds, so any number of them may run.
Where a sink fails, events are routed one by one: an error that is surely an event's fault drops that event.

The kind of a subscriber is the prefix of its id. Every router needs the sinks of all kinds: events for a kind
without one are reported and dropped.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock, Stopwatch
from runwright.db.batching import SplitDecision
from runwright.db.errors import invalid, may_be_one_items
from runwright.db.pool import Database, PoolConnection
from runwright.events.model import Event
from runwright.events.notifications import EventNotifications
from runwright.events.store import (
    TAKE_WEIGHT,
    QueuedEvent,
    any_subscriptions,
    drop_queued_event,
    take_queued_events,
)
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.routing import EventNotRouted, EventsRouted, EventsWithoutSink

BATCH: Final = 500
PAIRS_AT_ONCE: Final = 250
"""How many pairs of an event and a subscriber one statement gets: the event loop makes it in one step."""
BUSY_PAUSE_SECONDS: Final = 0.25
IDLE_PAUSE_SECONDS: Final = 1.0
_LOOK_EVERY: Final = 4

Sink = Callable[[PoolConnection, Sequence[tuple[Event, str]], datetime], Awaitable[int]]
"""Creates what subscribers of a kind get for events, in the router's transaction; returns how many."""


class Router(DatabaseLoop):
    """Looks when it is notified, and four times a second while there are subscriptions, else once."""

    def __init__(
        self,
        db: Database,
        *,
        sinks: Mapping[str, Sink],
        clock: Clock,
        event_notifications: EventNotifications,
        emit: Emit,
    ) -> None:
        """`sinks` by the prefix of the subscribers' ids."""
        super().__init__("router", db, clock=clock, emit=emit)
        self._sinks = sinks
        self._event_notifications = event_notifications
        self._any_subscriptions = True
        self._split = SplitDecision()
        event_notifications.on_appended(self.loop.wake)

    async def _make_pass(self) -> float:
        if self.loop.passes % _LOOK_EVERY == 0:
            self._any_subscriptions = await any_subscriptions(self._db)
            self._event_notifications.any_subscriptions = self._any_subscriptions
        watch = Stopwatch()
        try:
            queued, created = await self._route(BATCH)
            self._split.passed()
        except _NotRoutedError as failure:
            if not self._split.after(failure.error):
                raise failure.error from None
            queued, created = await self._route_singly()
        if created:
            self._emit(EventsRouted(events=len(queued), created=created, duration_seconds=watch.seconds()))
            self._event_notifications.due({who for one in queued for who in one.subscriber_ids})
        if len(queued) >= BATCH or sum(one.weight for one in queued) >= TAKE_WEIGHT:
            return 0.0
        return BUSY_PAUSE_SECONDS if self._any_subscriptions else IDLE_PAUSE_SECONDS

    async def _route(self, limit: int, *, after: int = 0) -> tuple[Sequence[QueuedEvent], int]:
        """Route events in one transaction; return them, and how many items their subscribers get.

        Raises _NotRoutedError with the events where a sink fails.
        """
        async with self._db.acquire() as db, db.transaction():
            queued = await take_queued_events(db, limit=limit, after=after)
            try:
                return queued, await self._deliver(db, queued)
            except Exception as error:
                raise _NotRoutedError(queued, error) from error

    async def _deliver(self, db: PoolConnection, queued: Sequence[QueuedEvent]) -> int:
        created = 0
        for kind, pairs in _by_kind(queued).items():
            if kind in self._sinks:
                for begin in range(0, len(pairs), PAIRS_AT_ONCE):
                    some = pairs[begin : begin + PAIRS_AT_ONCE]
                    created += await self._sinks[kind](db, some, self._clock())
            else:
                self._emit(EventsWithoutSink(kind=kind, count=len(pairs)))
        return created

    async def _route_singly(self) -> tuple[Sequence[QueuedEvent], int]:
        """Route events one at a time, so that one that fails holds up no other.

        One that can never be routed is dropped from the queue; others are tried again in the next pass.
        """
        routed: list[QueuedEvent] = []
        created = after = 0
        for _ in range(BATCH):
            try:
                queued, more = await self._route(1, after=after)
            except _NotRoutedError as failure:
                if not may_be_one_items(failure.error):
                    raise failure.error from None
                after = failure.queued[0].event.position
                await self._report(after, failure.error)
                continue
            if not queued:
                break
            routed += queued
            created += more
        return routed, created

    async def _report(self, position: int, error: Exception) -> None:
        dropped = invalid(error)
        if dropped:
            await drop_queued_event(self._db, position=position)
        self._emit(EventNotRouted(position=position, dropped=dropped, error=error_text(error)))


class _NotRoutedError(Exception):
    def __init__(self, queued: Sequence[QueuedEvent], error: Exception) -> None:
        super().__init__(str(error))
        self.queued = queued
        self.error = error


def _by_kind(queued: Sequence[QueuedEvent]) -> dict[str, list[tuple[Event, str]]]:
    kinds: dict[str, list[tuple[Event, str]]] = {}
    for one in queued:
        for subscriber_id in one.subscriber_ids:
            kinds.setdefault(subscriber_id.partition("_")[0], []).append((one.event, subscriber_id))
    return kinds
