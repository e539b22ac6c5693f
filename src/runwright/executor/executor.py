"""Claims jobs and runs them in sandboxes.

States of an executor: started -> (lease lost -> started again under a new id) -> draining -> stopped.

Invariants
- Every claimed job is in `_held` from the claim until its ending is handed to the recorder.
- Endings show the fence and the executor's id; after a lost lease they change nothing.
- A sandbox never outlives the lease: when the lease cannot be renewed in time, by this
  process's own clock, everything that runs is killed before the reaper may hand it on.

Failures
- The database is away: claims wait, running jobs go on until the lease is over, endings are
  kept and sent again; a claim whose answer was lost is found in the tables and handed back.
- A sandbox dies: its running job fails, those behind it are handed back.
- A drain hands back what has not begun, waits for the rest, and gives up what is left.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from runwright.core.clock import Clock
from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.pool import Database
from runwright.executor.claimed_attempts import ClaimedAttempt
from runwright.executor.lease import Lease, LeaseSettings
from runwright.executor.preparation import Preparation, Prepared, Refusal
from runwright.executor.recorder import HandBack, Recorder
from runwright.executor.slot_reservations import SlotReservations
from runwright.executor.tenant_usage import TenantUsage
from runwright.executor.worker_cache import Definitions, Loaded
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.claim import ClaimedJob, claim_jobs
from runwright.jobs.store.finish import Ended, Ending
from runwright.jobs.store.rescue import cancel_requests, jobs_held_by
from runwright.loops.pass_loop import PassLoop
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, OutputLine
from runwright.runtimes.pool.pool import Pool, PoolCapacity
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import (
    AttemptNotPrepared,
    ExecutorDrainTimedOut,
    ExecutorLeaseLost,
    JobAttemptEnded,
    JobHandedBack,
    JobRecordFailed,
    JobRecordsAbandoned,
    JobResultRefused,
    StrayClaimHandedBack,
    WorkerNotLoaded,
)

LOOK_SECONDS: Final = 1.0
"""How often an idle executor looks for work by itself, in case a hint was lost."""

CLAIM_LIMIT: Final = 256
LOG_FLUSH_SECONDS: Final = 0.1
STRAYS_SECONDS: Final = 5.0
RECORD_SECONDS: Final = 10.0
"""How long a stop waits for the last endings to be written."""
HAND_BACKS_TOLERATED: Final = 3


class ExecutorSettings(LeaseSettings, frozen=True, kw_only=True):
    """What an executor is told: its lease, and how long a drain may take."""

    drain_seconds: float
    tenant_running: int | None = None
    """Jobs that a tenant runs at once which has no such quota of its own."""


MakePool = Callable[["Executor"], Pool]


class Executor:
    """One per process; `make_pool` builds the pool around this executor's callbacks."""

    def __init__(
        self,
        db: Database,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        signals: JobNotifications,
        emit: Emit,
        make_pool: MakePool,
        preparation: Preparation | None = None,
    ) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._signals = signals
        self._emit = emit
        self._definitions = Definitions(db)
        self._preparation = preparation or Preparation()
        self._tokens = itertools.count(1)
        self._held: dict[int, ClaimedAttempt] = {}
        self._cursor: tuple[str, str] | None = None
        self._usage = TenantUsage()
        self._look = True
        self._draining = False
        self._handed_back_in_row = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._strays_due = 0.0
        self._reserved = SlotReservations()
        self._taking: set[asyncio.Task[None]] = set()
        self._log_timer: asyncio.TimerHandle | None = None
        self._started = False
        self.lease = Lease(
            db,
            settings=settings,
            clock=clock,
            emit=emit,
            draining=lambda: self._draining,
            on_lost=self._lose_lease,
            on_taken=self._take_lease,
        )
        self._recorder = Recorder(db, executor_id=self.id)
        self.pool = make_pool(self)
        self.claims = PassLoop("claims", self._claim, emit=emit)
        self.cancels = PassLoop("cancels", self._watch_cancels, emit=emit)
        signals.on_ready(self._hear_ready)
        signals.on_cancel(self._hear_cancel)

    async def start(self) -> None:
        """Register, boot the pool and begin to claim."""
        self._started = True
        await self.lease.start()
        await self.pool.start()
        self.cancels.start()
        self.claims.start()

    async def stop(self) -> None:
        """Drain: claim nothing more, hand back, wait, give up what is left; safe unstarted and twice."""
        if not self._started:
            return
        self._started = False
        self._draining = True
        await self.claims.stop()
        self.pool.release_unstarted()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._settings.drain_seconds)
        if self._held:
            self._emit(ExecutorDrainTimedOut(jobs=len(self._held)))
            await self.pool.kill_all()
        try:
            await asyncio.wait_for(self._recorder.stop(), RECORD_SECONDS)
        except TimeoutError:  # the database is away; the reaper ends what could not be written
            self._emit(JobRecordsAbandoned(jobs=len(self._held)))
        await self.cancels.stop()
        await self.lease.stop()
        await self.pool.stop()
        if self._log_timer is not None:
            self._log_timer.cancel()
        await self.lease.leave()

    def halt(self) -> None:
        """End a drain at once (a second signal): what still runs is given up."""
        self._idle.set()

    @property
    def id(self) -> str:
        """The id under which it holds its lease."""
        return self.lease.id

    @property
    def runtimes(self) -> Sequence[str]:
        """The runtimes that it offers."""
        return self._settings.runtimes

    @property
    def running(self) -> int:
        """How many claimed jobs it holds."""
        return len(self._held)

    # --- lease -------------------------------------------------------------------------

    async def _lose_lease(self) -> None:
        """Kill all that runs: the jobs of the old id belong to the reaper."""
        self._emit(ExecutorLeaseLost(executor_id=self.id, jobs=len(self._held)))
        self._held.clear()
        self._idle.set()
        await self.pool.kill_all()

    def _take_lease(self) -> None:
        """Go on under the new id."""
        self._recorder = Recorder(self._db, executor_id=self.id)
        self._wake_claims()

    # --- claiming ----------------------------------------------------------------------

    def _hear_ready(self, run_at: datetime | None) -> None:
        if run_at is None or run_at <= self._clock():
            self._wake_claims()

    def _wake_claims(self) -> None:
        self._look = True
        self.claims.wake()

    def on_capacity(self) -> None:
        """Hear from the pool that a sandbox has room again."""
        if self._look:
            self.claims.wake()

    # --- starting what is submitted here -----------------------------------------------

    def reserve(self, job_id: str, tenant_id: str, worker_id: str) -> bool:
        """Keep room for a job, unless others wait in line or it would have to wait in here."""
        if self._look or self._draining or not self.lease.held or self._handed_back_in_row:
            return False
        kept = self._reserved.keep(job_id, worker_id, self.pool.capacity())
        if kept:
            self._get_ready(tenant_id, worker_id)
        return kept

    def _get_ready(self, tenant_id: str, worker_id: str) -> None:
        """Have the code of a worker in a sandbox by the time its job is accepted."""
        loaded = self._definitions.latest(worker_id)
        if loaded is None or self._draining or loaded.needs_preparation:
            return
        if loaded.code.tenant_id == tenant_id:  # others name any worker before they are refused
            # Not at once: the statement that accepts the job goes first.
            asyncio.get_running_loop().call_soon(self.pool.preload, loaded.code)

    async def _read_ahead(self, worker_id: str) -> None:
        with contextlib.suppress(Exception):  # a claim reads it again, and tells what is wrong
            await self._definitions.fetch(worker_id)

    def note_worker(self, worker_id: str) -> None:
        """Hear that a worker was made or changed: its jobs will come, and need not wait for its code."""
        if self.lease.held and not self._draining:
            self._spawn(self._read_ahead(worker_id))

    def release(self, job_id: str) -> None:
        """Give reserved room back."""
        self._reserved.release(job_id)

    def begin(self, job: ClaimedJob, executor_id: str) -> None:
        """Run a job that was accepted as running here."""
        self.release(job.job_id)
        if executor_id != self.id or not self.lease.held:
            return  # the lease was lost meanwhile; the reaper hands it on
        token = self._hold(job)
        loaded = self._definitions.held(job.worker_id, job.worker_revision)
        if loaded is not None:
            self._dispatch(token, job, loaded)
            return
        self._spawn(self._take(token, job, executor_id))

    async def _claim(self) -> float:
        room = self._reserved.left_of(self.pool.capacity())
        if self._draining or not self.lease.held or (room.free <= 0 and not room.fast):
            return LOOK_SECONDS
        self._look = False
        executor_id = self.id
        await self._hand_back_strays()
        claim = await claim_jobs(
            self._db,
            now=self._clock(),
            executor_id=executor_id,
            room=max(room.free, 0),
            fast=room.fast,
            runtimes=self._settings.runtimes,
            limit=CLAIM_LIMIT,
            cursor=self._cursor,
            used=self._usage.by_tenant(),
            tenant_running=self._settings.tenant_running,
        )
        if self.id != executor_id:
            return 0.0  # the lease was lost meanwhile; the reaper hands on what the old id was given
        wrapped = self._cursor is not None and claim.cursor is None
        self._cursor = claim.cursor
        for token, job in [(self._hold(job), job) for job in claim.jobs]:
            await self._take(token, job, executor_id)
        if claim.cursor is not None or wrapped or _may_leave_more(claim.jobs, room):
            self._look = True
        if self._handed_back_in_row > HAND_BACKS_TOLERATED:
            return LOOK_SECONDS  # sandboxes do not come up; do not spin
        return 0.0 if self._look else LOOK_SECONDS

    async def _hand_back_strays(self) -> None:
        """Hand back jobs that were claimed for us while the answer was lost with its connection.

        No other claim is under way here, so what the tables give us, and we neither hold nor expect
        from a submit, is one. What was expected before the look may have come and gone since.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._strays_due:
            return
        self._strays_due = loop.time() + STRAYS_SECONDS
        reserved = self._reserved.job_ids()
        given = await jobs_held_by(self._db, executor_id=self.id)
        held = {(held.job.job_id, held.job.fence) for held in self._held.values()}
        for tenant_id, job_id, fence in given:
            if (job_id, fence) not in held and job_id not in reserved and job_id not in self._reserved:
                self._emit(StrayClaimHandedBack(job_id=job_id))
                back = HandBack(tenant_id, job_id, fence, self._clock())
                self._recorder.record(back).add_done_callback(self._after_write)

    def _hold(self, job: ClaimedJob) -> int:
        token = next(self._tokens)
        self._held[token] = ClaimedAttempt(job)
        self._idle.clear()
        self._usage.count(job.tenant_id)
        return token

    async def _take(self, token: int, job: ClaimedJob, executor_id: str) -> None:
        held = self._held.get(token)
        loaded = self._definitions.held(job.worker_id, job.worker_revision)
        if loaded is None:
            try:
                loaded = await self._definitions.fetch(job.worker_id)
            except Exception as error:  # noqa: BLE001  whatever it is, the job goes back in line
                self._emit(WorkerNotLoaded(job_id=job.job_id, error=type(error).__name__))
        if held is None or self.id != executor_id or token not in self._held:
            return  # the lease was lost meanwhile
        self._dispatch(token, job, loaded)

    def _dispatch(self, token: int, job: ClaimedJob, loaded: Loaded | None) -> None:
        """Give a held job to the pool, or end or hand it back where it cannot run."""
        held = self._held[token]
        if held.cancelling:
            self._settle(token, AttemptOutcome(status=OutcomeStatus.UNSTARTED))
        elif loaded is None or loaded.code.version != job.worker_version or self._draining:
            # Changed between claim and fetch, or stopping: back in line, to be claimed as it is now.
            self._hand_back(token, held)
        elif loaded.needs_preparation:
            self._spawn(self._prepare(token, job, loaded, self.id))
        else:
            self.pool.assign(_assignment(token, job, loaded, Prepared(loaded.code, {})))

    async def _prepare(self, token: int, job: ClaimedJob, loaded: Loaded, executor_id: str) -> None:
        """Gather what the attempt needs, then run it; claims go on meanwhile."""
        prepared: Prepared | Refusal | None = None
        try:
            prepared = await self._preparation.prepare(loaded)
        except Exception as error:  # noqa: BLE001  whatever it is, the job goes back in line
            self._emit(AttemptNotPrepared(job_id=job.job_id, error=type(error).__name__))
        held = self._held.get(token)
        if held is None or self.id != executor_id:
            return  # the lease was lost meanwhile
        if held.cancelling:
            self._settle(token, AttemptOutcome(status=OutcomeStatus.UNSTARTED))
        elif prepared is None or self._draining:
            self._hand_back(token, held)
        elif isinstance(prepared, Refusal):
            code, message = prepared.code.value, prepared.message
            self._settle(
                token, AttemptOutcome(status=OutcomeStatus.FAILED, error_code=code, error_message=message)
            )
        else:
            self.pool.assign(_assignment(token, job, loaded, prepared))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    # --- what the pool says ------------------------------------------------------------

    def on_started(self, assignment: Assignment, at: datetime) -> None:
        """Note when user code began."""
        held = self._held.get(assignment.id)
        if held is not None:
            held.started_at = at
            self._handed_back_in_row = 0

    def on_line(self, assignment: Assignment, line: OutputLine) -> None:
        """Keep a log line; lines of running jobs are stored every `LOG_FLUSH_SECONDS`."""
        held = self._held.get(assignment.id)
        if held is None:
            return
        held.add_line(line)
        if self._log_timer is None:
            self._log_timer = asyncio.get_running_loop().call_later(LOG_FLUSH_SECONDS, self._flush_logs)

    def _flush_logs(self) -> None:
        self._log_timer = None
        for held in self._held.values():
            chunk = held.take_chunk()
            if chunk is not None:
                written = self._recorder.record(chunk)
                written.add_done_callback(partial(self._after_chunk, held.job.job_id))

    def on_outcome(self, assignment: Assignment, outcome: AttemptOutcome) -> None:
        """Record how an attempt ended."""
        self._settle(assignment.id, outcome)

    def _settle(self, token: int, outcome: AttemptOutcome) -> None:
        held = self._held.get(token)
        if held is None:  # its lease was lost
            return
        if outcome.status is OutcomeStatus.UNSTARTED and not held.cancelling:
            self._hand_back(token, held)
            return
        if outcome.status is OutcomeStatus.UNSTARTED:
            outcome = AttemptOutcome(
                status=OutcomeStatus.CANCELLED, error_code=ErrorCode.CANCELLED, error_message="Cancelled."
            )
        ending = held.ending(outcome, now=self._clock())
        future = self._recorder.record(ending)
        future.add_done_callback(lambda done: self._after_ending(token, held, ending, done))

    def _after_ending(
        self, token: int, held: ClaimedAttempt, ending: Ending, done: asyncio.Future[Ended | None]
    ) -> None:
        self._release(token, held)
        if self._failed(done):
            return
        ended = done.result()
        if ended is None or ended.status is None:
            self._emit(JobResultRefused(job_id=held.job.job_id, attempt=held.job.attempt))
        else:
            self._emit(JobAttemptEnded(_run_seconds(ending), status=JobStatus(ended.status)))
        # What a cancel leaves in the record (when, and why) is for the tables to say.
        as_recorded = ended is not None and ended.status == ending.status != JobStatus.CANCELLED
        heard = self._signals.job_ended(held.job.job_id, held.end(ending) if as_recorded else None)
        wanted = ended is not None and (ended.wanted and not heard)
        if wanted or self._signals.followed(held.job.job_id):
            self._signals.announce_ended([held.job.job_id])

    def _hand_back(self, token: int, held: ClaimedAttempt) -> None:
        self._handed_back_in_row += 1
        back = HandBack(held.job.tenant_id, held.job.job_id, held.job.fence, self._clock())
        future = self._recorder.record(back)
        future.add_done_callback(lambda done: self._after_hand_back(token, held, done))

    def _after_hand_back(self, token: int, held: ClaimedAttempt, done: asyncio.Future[Ended | None]) -> None:
        self._release(token, held)
        self._failed(done)
        self._emit(JobHandedBack(job_id=held.job.job_id))
        self._signals.jobs_ready()

    def _release(self, token: int, held: ClaimedAttempt) -> None:
        self._held.pop(token, None)
        if not self._held:
            self._idle.set()
        loaded = self._definitions.held(held.job.worker_id, held.job.worker_revision)
        if loaded is not None and loaded.definition.max_concurrency is not None:
            self._wake_claims()

    def _after_write(self, done: asyncio.Future[Ended | None]) -> None:
        self._failed(done)

    def _after_chunk(self, job_id: str, done: asyncio.Future[Ended | None]) -> None:
        if not self._failed(done):
            self._signals.logs_written(job_id)

    def _failed(self, done: asyncio.Future[Ended | None]) -> bool:
        error = done.exception()
        if error is not None:
            self._emit(JobRecordFailed(error=error_text(error)))
        return error is not None

    # --- cancelling --------------------------------------------------------------------

    def _hear_cancel(self, executor_id: str) -> None:
        if executor_id == self.id:
            self.cancels.wake()

    async def _watch_cancels(self) -> float:
        if self._held:
            wanted = set(await cancel_requests(self._db, executor_id=self.id))
            if wanted:
                for token, held in list(self._held.items()):
                    if (held.job.job_id, held.job.fence) in wanted and not held.cancelling:
                        held.cancelling = True
                        self.pool.cancel(token)
        return LOOK_SECONDS


def _may_leave_more(jobs: Sequence[ClaimedJob], room: PoolCapacity) -> bool:
    """Tell whether a claim stopped for lack of room and not for lack of jobs."""
    if not jobs:
        return False
    per_worker = Counter(job.worker_id for job in jobs)
    beyond = sum(max(0, count - room.fast.get(worker, 0)) for worker, count in per_worker.items())
    return beyond >= room.free or len(jobs) >= CLAIM_LIMIT


def _run_seconds(ending: Ending) -> float | None:
    if ending.started_at is None:
        return None
    return (ending.ended_at - ending.started_at).total_seconds()


def _assignment(token: int, job: ClaimedJob, loaded: Loaded, prepared: Prepared) -> Assignment:
    return Assignment(
        id=token,
        job_id=job.job_id,
        attempt=job.attempt,
        code=prepared.code,
        input=job.input,
        env=loaded.env,
        secrets=prepared.secrets,
        masker=prepared.masker,
        timeout_seconds=loaded.definition.timeout_seconds,
    )
