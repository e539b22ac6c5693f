"""The executor: claims jobs and runs them in sandboxes, under a lease.

States: started -> (lease lost -> started again under a new id) -> draining -> stopped.

Invariants
- Every claimed attempt is held by the `AttemptRunner` from the claim until its end is written or refused.
- An attempt that began here is never handed back: it ends, or the reaper counts it.
- Ends are recorded with the fence and the executor's id; after a lost lease they change nothing.
- A sandbox never outlives the lease: when the lease cannot be renewed in time, by this
  process's own clock, everything that runs is killed before the reaper may requeue it.

Failures
- The database is away, or refuses: claims wait, running jobs continue until the lease is over, ends are
  kept and sent again, also after it; a claim whose answer was lost is found in the tables and handed back.
- A sandbox dies: its running job fails, the jobs queued behind it are handed back.
- A drain hands back what has not begun, waits for the rest, and gives up what is left.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.executor.attempt_runner import AttemptRunner, MakePool
from runwright.executor.claim_loop import ClaimLoop
from runwright.executor.lease import ExecutorSettings, Lease, LeaseResources
from runwright.executor.preparation import Preparation
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.submit import Submission
from runwright.runtimes.pool.pool import Pool
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.executor import ExecutorDrainTimedOut, ExecutorLeaseLost

_RECORD_SECONDS: Final = (1.0, 10.0)


def record_seconds(drain_seconds: float) -> float:
    """Return how long a stop waits until the last ends are written: a fifth of the drain period."""
    least, most = _RECORD_SECONDS
    return max(least, min(most, drain_seconds / 5))


class Executor:
    """One per process; `make_pool` builds the pool around the runner's callbacks.

    It is the `DirectStarter` of the jobs that this process accepts.
    """

    def __init__(
        self,
        db: Database,
        *,
        lease_resources: LeaseResources,
        settings: ExecutorSettings,
        clock: Clock,
        notifications: JobNotifications,
        emit: Emit,
        make_pool: MakePool,
        preparation: Preparation | None = None,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._started = False
        self.lease = Lease(
            lease_resources,
            settings=settings,
            clock=clock,
            emit=emit,
            draining=lambda: self.runner.draining,
            on_lost=self._on_lease_lost,
            on_taken=self._on_lease_taken,
        )
        self.runner = AttemptRunner(
            db,
            lease=self.lease,
            clock=clock,
            notifications=notifications,
            emit=emit,
            preparation=preparation or Preparation(),
            make_pool=make_pool,
        )
        self.claims = ClaimLoop(
            db,
            settings=settings,
            lease=self.lease,
            runner=self.runner,
            clock=clock,
            notifications=notifications,
            emit=emit,
        )
        self.runner.notify_claims(
            end_recorded=self.claims.on_end_recorded, capacity_freed=self.claims.on_capacity_freed
        )
        notifications.on_ready(self.claims.on_ready)
        notifications.on_cancel(self.runner.on_cancel)

    async def start(self) -> None:
        """Register, start the pool and begin to claim."""
        self._started = True
        await self.lease.start()
        await self.pool.start()
        self.runner.cancels.start()
        self.claims.loop.start()
        self.runner.spawn(self._expect_workers())

    async def stop(self) -> None:
        """Drain: stop claiming, hand back, wait, give up what is left. Safe when not started, and twice."""
        if not self._started:
            return
        self._started = False
        self.runner.draining = True
        await self.claims.loop.stop()
        await self.claims.hand_back_at_stop()
        self.pool.release_unstarted()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.runner.idle.wait(), self._settings.drain_seconds)
        if len(self.runner):
            self._emit(ExecutorDrainTimedOut(jobs=len(self.runner)))
            await self.pool.kill_all()
        await self.runner.stop(record_seconds(self._settings.drain_seconds))
        await self.pool.stop()
        self.runner.stop_logs()
        await self.lease.stop()

    def halt(self) -> None:
        """End a drain at once (a second signal), giving up what still runs."""
        self.runner.idle.set()

    @property
    def pool(self) -> Pool:
        """The pool that runs its attempts."""
        return self.runner.pool

    @property
    def id(self) -> str:
        """The id under which it holds its lease."""
        return self.lease.id

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that it offers."""
        return self._settings.runtimes

    async def _on_lease_lost(self) -> None:
        """Kill all that runs: the jobs of the old id belong to the reaper."""
        self._emit(ExecutorLeaseLost(executor_id=self.id, jobs=len(self.runner)))
        self.runner.abandon()
        await self.pool.kill_all()

    def _on_lease_taken(self) -> None:
        """Continue under the new id."""
        self.runner.renew()
        self.claims.wake()

    # --- direct start: jobs that are accepted as running here --------------------------

    def reserve(self, submission: Submission) -> bool:
        """Reserve a slot for a job, unless others are waiting or it would have to wait here."""
        ready = self.lease.held and not self.runner.draining and not self.runner.hand_backs_in_row
        reserved = ready and self.claims.reserve(submission.id, submission)
        if reserved:
            self._open_ahead(submission)
        return reserved

    def release(self, job_id: str) -> None:
        """End the reservation of a job."""
        self.claims.reservations.release(job_id)

    def begin(self, attempt: ClaimedAttempt, executor_id: str) -> None:
        """Run a job that was accepted as running here."""
        self.release(attempt.job_id)
        if executor_id != self.id or not self.lease.held:
            return  # the lease was lost meanwhile; the reaper requeues it
        self.claims.usage.count(attempt.tenant_id)
        self.runner.start_now(attempt)

    def _open_ahead(self, submission: Submission) -> None:
        """Load the worker's code into a sandbox while its job is being accepted."""
        worker = self.runner.workers.latest(submission.worker_id)
        if worker is None or worker.needs_preparation or not worker.code.source:
            return
        # A submission may name another tenant's worker until it is refused.
        if worker.code.tenant_id == submission.tenant_id:
            # Not at once: the statement that accepts the job is sent first.
            asyncio.get_running_loop().call_soon(self.pool.preload, worker.code)

    def preload_worker(self, worker_id: str) -> None:
        """Read the code of a worker that was created or changed, so that its jobs need not wait for it."""
        if self.lease.held and not self.runner.draining:
            self.runner.spawn(self._preload(worker_id))

    async def _preload(self, worker_id: str) -> None:
        with contextlib.suppress(Exception):  # a claim reads it again, and reports the error
            worker = await self.runner.workers.fetch(worker_id)
            if worker is not None and worker.code.source:
                self.pool.expect(worker.code.interpreter)

    async def _expect_workers(self) -> None:
        """Pre-boot sandboxes of the interpreters for which there are workers."""
        with contextlib.suppress(Exception):  # they are booted when they are needed
            for interpreter in await self.runner.workers.interpreters():
                self.pool.expect(interpreter)
