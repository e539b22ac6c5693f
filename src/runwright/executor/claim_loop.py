"""Claiming: how much work an executor takes, and when it looks for some.

A claim follows a notification (jobs were queued, capacity was freed), or the claim before it if that did not
take all jobs or did not look at all queues. After a round over all queues that found nothing to run, the loop
waits for the next notification or `LOOK_SECONDS`: jobs that cannot run, for example of paused workers, cost
one round for each notification.

While only newcomers could run (see `PoolCapacity`), claims pause for a few times what they take, because
most notifications are about jobs of the tenants that hold the slots.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock
from runwright.db.connection import CLAIM
from runwright.db.pool import Database
from runwright.executor.attempt_runner import AttemptRunner
from runwright.executor.lease import ExecutorSettings, Lease
from runwright.executor.queue_round import QueueRound
from runwright.executor.slot_reservations import SlotReservations, SlotUser, TenantUsage, without
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.claim import ClaimResult, claim_jobs
from runwright.leases.store import fetch_hand_backs
from runwright.loops.pass_loop import PassLoop
from runwright.runtimes.pool.settings import PoolCapacity
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.executor import StrayClaimHandedBack

LOOK_SECONDS: Final = 1.0
"""How often an idle executor claims without a notification, in case one was lost."""

NEWCOMER_SECONDS: Final = 0.02
"""The longest pause between claims while only newcomers could run."""

NEWCOMER_PAUSE_FACTOR: Final = 2
CONTENDED_SECONDS: Final = (0.002, 0.05)
"""Mean pause before a claim is repeated of which competitors left nothing: the first time, and at most."""

CLAIM_LIMIT: Final = 256
LOST_CLAIMS_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
"""How long a stop looks for lost claims."""

HAND_BACKS_TOLERATED: Final = 3
"""After more hand-backs than this without an attempt that began, claims are `LOOK_SECONDS` apart."""


class ClaimLoop:
    """Claims jobs whenever the pool has capacity and there may be some."""

    def __init__(
        self,
        db: Database,
        *,
        settings: ExecutorSettings,
        lease: Lease,
        runner: AttemptRunner,
        clock: Clock,
        notifications: JobNotifications,
        emit: Emit,
    ) -> None:
        self._db = db
        self._settings = settings
        self._lease = lease
        self._runner = runner
        self._clock = clock
        self._notifications = notifications
        self._emit = emit
        self._round = QueueRound()
        self.usage = TenantUsage()
        self._lost_claims_due = 0.0
        self._claimed_at = self._took_seconds = self._resume_at = 0.0
        self._contended_in_row = 0
        self._found_none = True
        self._limited = self._limit_freed = False
        self.reservations = SlotReservations()
        self._unseen = True
        """Whether jobs may be waiting that no claim has seen."""
        self._short_of_capacity = False
        """Whether jobs may be waiting that a claim did not take for lack of capacity."""
        self.loop = PassLoop("claims", self._claim, emit=emit)

    def on_ready(self, run_at: datetime | None) -> None:
        """Claim soon where jobs may be claimable now; see `JobNotifications.on_ready`."""
        if run_at is None or run_at <= self._clock():
            self.wake()

    def wake(self) -> None:
        """Claim soon: jobs may have become claimable."""
        self._unseen = True
        self.loop.wake()

    def on_end_recorded(self, *, limited: bool) -> None:
        """Let a limited worker or tenant run one more soon: here or, where no slot is free, elsewhere."""
        if limited or self._limited:
            self._limit_freed = True
            self.wake()

    def on_capacity_freed(self) -> None:
        """Claim soon if jobs may be waiting: the pool has capacity again."""
        if self._unseen or self._short_of_capacity:
            self.loop.wake()

    def capacity(self) -> PoolCapacity:
        """Return how many jobs may be claimed now."""
        return without(self.reservations.left_of(self._runner.pool.capacity()), self._runner.unplaced())

    def reserve(self, job_id: str, user: SlotUser) -> bool:
        """Reserve a slot for a job that a submit may start at once; False where others are waiting for it.

        Jobs that wait for lack of capacity are of tenants that hold slots: no newcomer takes theirs.
        """
        if self._unseen:
            return False
        capacity = without(self._runner.pool.capacity(), self._runner.unplaced())
        if self._short_of_capacity and (capacity.free > 0 or user.tenant_id in capacity.holding):
            return False
        return self.reservations.reserve(job_id=job_id, user=user, capacity=capacity)

    async def _claim(self) -> float:
        if self._runner.draining or not self._lease.held:
            return LOOK_SECONDS
        await self._hand_back_lost_claims()
        capacity = self.capacity()
        if self._limit_freed and capacity.free <= 0:
            self._limit_freed = False
            self._notifications.announce_ready()
        if not capacity.most:
            return LOOK_SECONDS
        pause = self._pause_before(capacity)
        if pause > 0:
            return pause
        self._unseen = False
        executor_id = self._lease.id
        claimed = await self._claim_jobs(executor_id, capacity)
        if self._lease.id != executor_id:
            return 0.0  # the lease was lost meanwhile; the reaper requeues what it claimed
        if claimed.attempts:
            self._notifications.jobs_started()
        for attempt in claimed.attempts:
            self.usage.count(attempt.tenant_id)
        await self._runner.start(claimed.attempts)
        if self._runner.hand_backs_in_row > HAND_BACKS_TOLERATED:
            self._resume_at = asyncio.get_running_loop().time() + LOOK_SECONDS
        return self._pause_after(claimed, capacity)

    def _pause_before(self, capacity: PoolCapacity) -> float:
        """Return for how long not to claim yet: after hand-backs, or while only newcomers could run."""
        now = asyncio.get_running_loop().time()
        # The jobs that were handed back wake this loop at once.
        pause = self._resume_at - now
        if capacity.free <= 0 and (self._found_none or not capacity.fast):
            rest = min(NEWCOMER_PAUSE_FACTOR * self._took_seconds, NEWCOMER_SECONDS)
            rest = self._took_seconds + rest if self._unseen or capacity.fast else LOOK_SECONDS
            pause = max(pause, self._claimed_at + rest - now)
        return pause

    def _pause_after(self, claimed: ClaimResult, capacity: PoolCapacity) -> float:
        """Return the pause before the next claim: none where this one may have left jobs that could run."""
        over = self._round.advance(claimed.cursor)
        self._limited = claimed.limited
        self._short_of_capacity = capacity.free <= 0 or _may_leave_more(claimed.attempts, capacity)
        self._limit_freed = self._limit_freed and self._short_of_capacity
        self._unseen = self._unseen or not over or claimed.contended
        self._found_none = not claimed.attempts
        if claimed.attempts or not claimed.contended:
            self._contended_in_row = 0
            more = self._unseen or (self._short_of_capacity and not self._found_none)
            return 0.0 if more else LOOK_SECONDS
        first, most = CONTENDED_SECONDS
        pause = first
        for _ in range(self._contended_in_row):
            pause = min(2 * pause, most)
        self._contended_in_row += 1
        return pause * random.uniform(0, 2)  # noqa: S311  jitter

    async def _claim_jobs(self, executor_id: str, capacity: PoolCapacity) -> ClaimResult:
        loop = asyncio.get_running_loop()
        self._claimed_at = loop.time()
        try:
            async with asyncio.timeout(CLAIM.client_seconds):
                claimed = await claim_jobs(
                    self._db,
                    now=self._clock(),
                    executor_id=executor_id,
                    capacity=capacity,
                    runtimes=self._settings.runtimes,
                    limit=CLAIM_LIMIT,
                    cursor=self._round.cursor,
                    used=self.usage.by_tenant(),
                    tenant_running=self._settings.tenant_running,
                )
        except Exception:
            self._lost_claims_due = 0.0  # it may have been committed
            self._unseen = True
            raise
        self._took_seconds = loop.time() - self._claimed_at
        return claimed

    async def hand_back_at_stop(self) -> None:
        """Hand back what a last claim may have taken; without a database the reaper does."""
        self._lost_claims_due = 0.0
        with contextlib.suppress(Exception):
            async with asyncio.timeout(STOP_SECONDS):
                await self._hand_back_lost_claims()

    async def _hand_back_lost_claims(self) -> None:
        """Hand back jobs whose claim committed while its answer was lost with the connection.

        No other claim is under way here, and whatever began here is held until its end is in the tables. So
        a job that they assign to this executor, and that is neither held nor reserved for a submit, never
        began, and its attempt does not count. What was held or reserved before the query may have ended
        during it.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._lost_claims_due:
            return
        self._lost_claims_due = loop.time() + LOST_CLAIMS_SECONDS
        reserved, held = self.reservations.job_ids(), self._runner.held_keys()
        executor_id = self._lease.id
        assigned = await fetch_hand_backs(self._db, executor_id=executor_id, now=self._clock())
        if self._lease.id != executor_id:
            return  # the lease was lost meanwhile; they belong to the reaper
        held |= self._runner.held_keys()
        for end in assigned:
            expected = end.job_id in reserved or end.job_id in self.reservations
            if not expected and (end.job_id, end.fence) not in held:
                self._emit(StrayClaimHandedBack(job_id=end.job_id))
                self._runner.hand_back_lost(end)


def _may_leave_more(attempts: Sequence[ClaimedAttempt], capacity: PoolCapacity) -> bool:
    """Return whether a claim was limited by capacity and not by the number of jobs."""
    if not attempts:
        return False
    per_worker = Counter(attempt.worker_id for attempt in attempts)
    beyond = sum(max(0, count - capacity.fast.get(worker, 0)) for worker, count in per_worker.items())
    return beyond >= capacity.free or len(attempts) >= CLAIM_LIMIT
