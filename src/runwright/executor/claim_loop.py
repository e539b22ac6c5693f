"""Claiming: how much work an executor takes, and for which tenants in turn."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.executor.attempt_runner import AttemptRunner
from runwright.executor.lease import ExecutorSettings, Lease
from runwright.jobs.attempt import ClaimedAttempt
from runwright.jobs.store.claim import ClaimResult, claim_jobs
from runwright.jobs.store.executors import fetch_hand_backs
from runwright.loops.pass_loop import PassLoop
from runwright.runtimes.pool.settings import PoolCapacity
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import StrayClaimHandedBack

LOOK_SECONDS: Final = 1.0
"""How often an idle executor claims without a notification, in case one was lost."""

CLAIM_LIMIT: Final = 256
LOST_CLAIMS_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
"""How long a stop looks for lost claims."""

HAND_BACKS_TOLERATED: Final = 3
"""After more hand-backs than this without an attempt that began, claims are `LOOK_SECONDS` apart."""

HALF_LIFE_SECONDS: Final = 10.0
_NEGLIGIBLE: Final = 0.5


class SlotReservations:
    """Capacity that is reserved for jobs which a submit of this process may start at once."""

    def __init__(self) -> None:
        self._workers: dict[str, str] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._workers

    def job_ids(self) -> set[str]:
        """Return the jobs that capacity is reserved for."""
        return set(self._workers)

    def reserve(self, *, job_id: str, worker_id: str, capacity: PoolCapacity) -> bool:
        """Reserve a slot for a job; False where none is left for its worker."""
        left = self.left_of(capacity)
        if left.free <= 0 and left.fast.get(worker_id, 0) <= 0:
            return False
        self._workers[job_id] = worker_id
        return True

    def release(self, job_id: str) -> None:
        """End the reservation of a job; unknown ids are ignored."""
        self._workers.pop(job_id, None)

    def left_of(self, capacity: PoolCapacity) -> PoolCapacity:
        """Return the pool's capacity less what is reserved."""
        if not self._workers:
            return capacity
        reserved = Counter(self._workers.values())
        fast = {worker: max(0, n - reserved[worker]) for worker, n in capacity.fast.items()}
        beyond = sum(max(0, n - capacity.fast.get(worker, 0)) for worker, n in reserved.items())
        return PoolCapacity(capacity.free - beyond, fast)


class TenantUsage:
    """Jobs begun per tenant, with a half-life of `HALF_LIFE_SECONDS`; makes the tenants' turns fair."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._decayed_at = 0.0

    def count(self, tenant_id: str) -> None:
        """Count a job that begins."""
        self._used[tenant_id] = self._used.get(tenant_id, 0.0) + 1

    def by_tenant(self) -> dict[str, float]:
        """Return the recent usage of each tenant."""
        now = asyncio.get_running_loop().time()
        elapsed = now - self._decayed_at
        if elapsed > 1.0:
            self._decayed_at = now
            decay = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            decayed = {tenant: used * decay for tenant, used in self._used.items()}
            self._used = {tenant: used for tenant, used in decayed.items() if used > _NEGLIGIBLE}
        return self._used


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
        emit: Emit,
    ) -> None:
        self._db = db
        self._settings = settings
        self._lease = lease
        self._runner = runner
        self._clock = clock
        self._emit = emit
        self._cursor: tuple[str, str] | None = None
        self.usage = TenantUsage()
        self._lost_claims_due = 0.0
        self._resume_at = 0.0
        self.reservations = SlotReservations()
        self.may_have_jobs = True
        """Whether jobs may be waiting in the queue that no claim has seen."""
        self.loop = PassLoop("claims", self._claim, emit=emit)

    def on_ready(self, run_at: datetime | None) -> None:
        """Claim soon where jobs may be claimable now; see `JobNotifications.on_ready`."""
        if run_at is None or run_at <= self._clock():
            self.wake()

    def wake(self) -> None:
        """Claim soon: jobs may have become claimable."""
        self.may_have_jobs = True
        self.loop.wake()

    def on_capacity_freed(self) -> None:
        """Claim soon if jobs may be waiting: the pool has capacity again."""
        if self.may_have_jobs:
            self.loop.wake()

    async def _claim(self) -> float:
        if self._runner.draining or not self._lease.held:
            return LOOK_SECONDS
        await self._hand_back_lost_claims()
        capacity = self.reservations.left_of(self._runner.pool.capacity())
        if capacity.free <= 0 and not capacity.fast:
            return LOOK_SECONDS
        pause = self._resume_at - asyncio.get_running_loop().time()
        if pause > 0:  # the jobs that were handed back wake this loop at once
            return pause
        self.may_have_jobs = False
        executor_id = self._lease.id
        claimed = await self._claim_jobs(executor_id, capacity)
        if self._lease.id != executor_id:
            return 0.0  # the lease was lost meanwhile; the reaper requeues what it claimed
        wrapped = self._cursor is not None and claimed.cursor is None
        self._cursor = claimed.cursor
        for attempt in claimed.attempts:
            self.usage.count(attempt.tenant_id)
        await self._runner.start(claimed.attempts)
        if claimed.cursor is not None or wrapped or _may_leave_more(claimed.attempts, capacity):
            self.may_have_jobs = True
        if self._runner.hand_backs_in_row > HAND_BACKS_TOLERATED:
            self._resume_at = asyncio.get_running_loop().time() + LOOK_SECONDS
        return 0.0 if self.may_have_jobs else LOOK_SECONDS

    async def _claim_jobs(self, executor_id: str, capacity: PoolCapacity) -> ClaimResult:
        try:
            return await claim_jobs(
                self._db,
                now=self._clock(),
                executor_id=executor_id,
                capacity=capacity,
                runtimes=self._settings.runtimes,
                limit=CLAIM_LIMIT,
                cursor=self._cursor,
                used=self.usage.by_tenant(),
                tenant_running=self._settings.tenant_running,
            )
        except Exception:
            self._lost_claims_due = 0.0  # it may have been committed
            self.may_have_jobs = True
            raise

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
