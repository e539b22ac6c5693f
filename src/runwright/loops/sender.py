"""Sends what is due in the outbox.

Life of a row here: claimed (a lease, a fence one higher) → sent → settled. A process that dies leaves
leases that expire; any process claims the rows then, so an attempt may be made twice and none is lost.
What is not the destination's fault (database unavailable, vault key missing) is no attempt: the row
returns to the queue for a while, alone: one that cannot be loaded delays no other of its batch.

Many rows are in flight at once, few of them to one destination and a limited number of one tenant (see
outbox/queue.py), so slow destinations delay only themselves, however many there are.
"""

import asyncio
import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Generic

from runwright.core.clock import Clock, Stopwatch
from runwright.db.batching import Batcher, SplitDecision, divide
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.loops.in_flight_limiter import (
    GATHER_SECONDS,
    LOOK_SECONDS,
    InFlightLimiter,
    Spacer,
    pause_until_due,
)
from runwright.loops.pass_loop import DatabaseLoop
from runwright.outbox.queue import (
    Item,
    OutboxBatch,
    OutboxClaim,
    OutboxSubject,
    Result,
    Settlement,
    claim_due,
    release_claims,
)
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.outbox import OutboxNotSettled, OutboxOutcomeRefused, OutboxSetAside

SET_ASIDE_SECONDS: Final = 10.0
REST_FACTOR: Final = 3
"""A round over all destinations that found nothing, or only what goes to slow ones, is followed by a pause of
so many times what it took."""
MOST_FRESH: Final = 256
"""Destinations of new rows that are claimed from before the round over all destinations finds them."""

SLOW_START_SECONDS: Final = 0.02
"""The least time between two attempts to slow destinations, which would else begin and time out together, and
hold up what is sent to others meanwhile."""
SETTLE_SECONDS: Final = 10.0
"""How long a stop holds outcomes when the database is away; then their requests are repeated."""


class OutboxSender(DatabaseLoop, Generic[Item, Result]):
    """Claims, sends and settles the rows of one subject. Any number may run."""

    def __init__(
        self,
        db: Database,
        subject: OutboxSubject[Item, Result],
        *,
        clock: Clock,
        event_notifications: EventNotifications,
        emit: Emit,
    ) -> None:
        super().__init__(f"{subject.queue.kind} sender", db, clock=clock, emit=emit)
        self._subject = subject
        self._kind = subject.queue.kind
        self._cursor: str | None = None
        self._claimed_at = 0.0
        self._round = _Round()
        self._split = SplitDecision()
        self._rest_until = 0.0
        self._empty_seconds = math.inf
        self._fresh: set[str] = set()
        self._settlements: Batcher[Settlement[Result], bool] = Batcher(
            self._settle, max_in_flight=1, retry_seconds=math.inf
        )
        self._slow_starts = Spacer(SLOW_START_SECONDS)
        self._in_flight = InFlightLimiter(subject.queue, on_end=self.loop.wake)
        event_notifications.on_destinations(self._on_destinations)
        event_notifications.on_due(self.loop.wake)

    async def stop(self) -> None:
        """Claim nothing more; wait a while for what is in flight, then return it to the queue."""
        await super().stop()
        await self._in_flight.stop()
        await self._settlements.stop(SETTLE_SECONDS)

    async def _make_pass(self) -> float:
        if self._in_flight.free <= 0:
            return LOOK_SECONDS  # woken by the next one that ends
        loop = asyncio.get_running_loop()
        if self._fresh:
            fresh, self._fresh = self._fresh, set()
            await self._claim(None, only=fresh)
        if self._cursor is None and self._rest_until > loop.time():
            return self._rest_until - loop.time()
        await asyncio.sleep(self._claimed_at + GATHER_SECONDS - loop.time())
        self._claimed_at = loop.time()
        batch = await self._claim(self._cursor)
        self._round.add(batch, loop.time() - self._claimed_at)
        self._cursor = batch.cursor
        if batch.cursor is not None:
            return 0.0
        ended, self._round = self._round, _Round()
        if ended.to_fast:
            return GATHER_SECONDS
        # The first round on a connection takes long, as its statement is prepared.
        rest, self._empty_seconds = min(ended.seconds, self._empty_seconds), ended.seconds
        rest = min(REST_FACTOR * rest, LOOK_SECONDS)
        self._rest_until = loop.time() + rest
        return rest if ended.claims else pause_until_due(ended.next_due, self._clock())

    def _on_destinations(self, destinations: Collection[str]) -> None:
        """Claim from these destinations first; where they are too many, the rounds find them."""
        if len(self._fresh) + len(destinations) <= MOST_FRESH:
            self._fresh.update(destinations)

    async def _claim(self, cursor: str | None, *, only: Collection[str] = ()) -> OutboxBatch:
        batch = await claim_due(
            self._db,
            self._subject.queue,
            now=self._clock(),
            limit=self._in_flight.free,
            cursor=cursor,
            in_flight=self._in_flight.snapshot(),
            only=only,
        )
        if batch.claims:
            await self._begin(batch.claims)
        return batch

    async def _begin(self, claims: Sequence[OutboxClaim]) -> None:
        """Load what was claimed and start to send it; return to the queue what cannot be loaded."""
        begun: set[str] = set()

        async def load(some: Sequence[OutboxClaim]) -> None:
            items = await self._subject.load(self._db, some)
            begun.update(claim.id for claim in some)
            for item in items:
                self._in_flight.begin(item.claim, self._process(item))

        try:
            for claim, error in await divide(claims, load, self._split):
                begun.add(claim.id)
                self._emit(OutboxSetAside(kind=self._kind, id=claim.id, error=error_text(error)))
                self._release(claim, SET_ASIDE_SECONDS)
        except Exception:
            for claim in claims:
                if claim.id not in begun:
                    self._release(claim, 0.0)
            raise

    def _release(self, claim: OutboxClaim, seconds: float) -> None:
        """Return a row to the queue as soon as that can be written; no attempt is counted."""
        until = self._clock() + timedelta(seconds=seconds)
        written = self._settlements.add(Settlement(claim=claim, retry_at=until))
        written.add_done_callback(lambda one: one.cancelled() or one.exception())

    async def _process(self, item: Item) -> bool:
        """Make an attempt and settle it; return whether the destination is slow."""
        settlement, seconds = await self._attempt(item)
        slow = settlement.failed or seconds > self._subject.queue.slow_seconds
        try:
            if not await self._settlements.add(settlement):
                self._emit(OutboxOutcomeRefused(kind=self._kind, id=item.claim.id))
        except Exception as error:  # noqa: BLE001  the lease expires, and the row is claimed again
            self._emit(OutboxNotSettled(kind=self._kind, id=item.claim.id, error=error_text(error)))
        return slow

    async def _attempt(self, item: Item) -> tuple[Settlement[Result], float]:
        """Return how an attempt ended, and how many seconds it took."""
        watch = Stopwatch()
        try:
            if item.claim.slow:
                await self._slow_starts.turn()
                watch = Stopwatch()
            return await self._subject.send(item), watch.seconds()
        except Exception as error:  # noqa: BLE001  not the destination's fault
            self._emit(OutboxSetAside(kind=self._kind, id=item.claim.id, error=error_text(error)))
            until = self._clock() + timedelta(seconds=SET_ASIDE_SECONDS)
            return Settlement(claim=item.claim, retry_at=until), watch.seconds()
        except asyncio.CancelledError:
            self._release(item.claim, 0.0)
            raise

    async def _settle(self, settlements: Sequence[Settlement[Result]]) -> Sequence[bool]:
        attempts = [one for one in settlements if one.result is not None]
        released = [(one.claim, _due(one)) for one in settlements if one.result is None]
        lost = await self._subject.settle(self._db, attempts) if attempts else set()
        if released:
            held = await release_claims(self._db, released)
            lost |= {claim.id for claim, _ in released} - held
        return [one.claim.id not in lost for one in settlements]


class _Round:
    """The claims that together looked at every destination once."""

    def __init__(self) -> None:
        self.claims = 0
        self.to_fast = 0
        """How many of the claims do not go to slow destinations."""
        self.seconds = 0.0
        self.next_due: datetime | None = None

    def add(self, batch: OutboxBatch, seconds: float) -> None:
        self.claims += len(batch.claims)
        self.to_fast += sum(not claim.slow for claim in batch.claims)
        self.seconds += seconds
        due = [at for at in (self.next_due, batch.next_due) if at is not None]
        self.next_due = min(due, default=None)


def _due(settlement: Settlement[Result]) -> datetime:
    assert settlement.retry_at is not None  # noqa: S101  only an attempt ends a row
    return settlement.retry_at
