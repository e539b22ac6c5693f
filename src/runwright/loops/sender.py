"""Sends deliveries that are due.

Life of a delivery here: claimed (a lease, a fence one higher) → sent → settled (delivered, due
again one step up the ladder, or abandoned). A process that dies leaves leases that run out; the
deliveries are then claimed by whoever looks, at the same step, so an attempt may be made twice and
none is lost. What is no fault of the endpoint (database away, vault key missing) is no attempt: the
delivery goes back for a while.

Many are under way at once, few of them to one endpoint and a bounded number of one tenant
(`claim_deliveries` has the law), so a slow endpoint holds up nobody but itself.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

from runwright.core.clock import Clock
from runwright.db.batching import Batcher
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.loops.in_flight_limiter import GATHER_SECONDS, LOOK_SECONDS, InFlightLimiter, pause_until_due
from runwright.loops.pass_loop import PassLoop
from runwright.outbox.model import ClaimedDelivery, Outcome
from runwright.outbox.sending import Sender, judge
from runwright.outbox.store.queue import Settlement, claim_deliveries, settle_deliveries
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import (
    DeliveryAttempted,
    DeliveryNotSettled,
    DeliveryOutcomeRefused,
    DeliverySetAside,
)

AT_ONCE: Final = 256
TENANT_AT_ONCE: Final = 128
LEASE_SECONDS: Final = 30.0
SET_ASIDE_SECONDS: Final = 10.0


class Deliverer:
    """Claims, sends and settles. Any number may run."""

    def __init__(
        self,
        db: Database,
        *,
        sender: Sender,
        clock: Clock,
        hints: EventNotifications,
        emit: Emit,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._db = db
        self._sender = sender
        self._clock = clock
        self._emit = emit
        self._lease_seconds = lease_seconds
        self._cursor: str | None = None
        self._claimed_at = 0.0
        self._settlements: Batcher[Settlement, bool] = Batcher(self._settle, lanes=2)
        self.loop = PassLoop("deliverer", self._make_pass, emit=emit)
        self._under_way = InFlightLimiter(at_once=AT_ONCE, on_end=self.loop.wake)
        hints.on_due(self.loop.wake)

    async def start(self) -> None:
        """Begin to deliver."""
        self.loop.start()

    async def stop(self) -> None:
        """Claim nothing more; what is being sent may end, or goes back."""
        await self.loop.stop()
        await self._under_way.stop()
        await self._settlements.stop()

    async def _make_pass(self) -> float:
        if self._under_way.room <= 0:
            return LOOK_SECONDS  # the next one that ends wakes
        await asyncio.sleep(self._claimed_at + GATHER_SECONDS - asyncio.get_running_loop().time())
        self._claimed_at = asyncio.get_running_loop().time()
        claimed = await claim_deliveries(
            self._db,
            now=self._clock(),
            limit=self._under_way.room,
            lease_seconds=self._lease_seconds,
            cursor=self._cursor,
            used=self._under_way.of_tenant,
            tenant_room=TENANT_AT_ONCE,
        )
        self._cursor = claimed.cursor
        for parcel in claimed.parcels:
            self._under_way.begin(parcel.event.tenant_id, self._deliver(parcel))
        if claimed.cursor is not None:
            return 0.0
        if claimed.parcels:
            return GATHER_SECONDS
        return pause_until_due(claimed.next_due, self._clock())

    async def _deliver(self, parcel: ClaimedDelivery) -> None:
        try:
            settlement = await self._attempt(parcel)
            if not await self._settlements.add(settlement):
                self._emit(DeliveryOutcomeRefused(delivery_id=parcel.delivery_id))
        except Exception as error:  # noqa: BLE001  the lease runs out, and somebody tries again
            self._emit(DeliveryNotSettled(delivery_id=parcel.delivery_id, error=type(error).__name__))

    async def _attempt(self, parcel: ClaimedDelivery) -> Settlement:
        try:
            outcome = await self._sender.send(parcel)
        except Exception as error:  # noqa: BLE001  no fault of the endpoint
            self._emit(DeliverySetAside(delivery_id=parcel.delivery_id, error=error_text(error)))
            later = self._clock() + timedelta(seconds=SET_ASIDE_SECONDS)
            return Settlement(
                delivery_id=parcel.delivery_id, fence=parcel.fence, outcome=None, retry_at=later
            )
        except asyncio.CancelledError:
            settlement = Settlement(
                delivery_id=parcel.delivery_id, fence=parcel.fence, outcome=None, retry_at=self._clock()
            )
            self._settlements.add(settlement)
            raise
        return self._judged(parcel, outcome)

    def _judged(self, parcel: ClaimedDelivery, outcome: Outcome) -> Settlement:
        result: Literal["delivered", "failed"] = "delivered" if outcome.delivered else "failed"
        self._emit(DeliveryAttempted(result=result, duration_seconds=outcome.duration_ms / 1000))
        verdict = judge(parcel.step, outcome)
        later = None
        if not outcome.delivered and verdict.retry_seconds is not None:
            later = self._clock() + timedelta(seconds=verdict.retry_seconds)
        return Settlement(
            delivery_id=parcel.delivery_id,
            fence=parcel.fence,
            outcome=outcome,
            retry_at=later,
            gone=not outcome.delivered and verdict.gone,
        )

    async def _settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        ours = await settle_deliveries(self._db, settlements)
        return [one.delivery_id in ours for one in settlements]
