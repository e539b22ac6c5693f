"""The attempts that an executor holds, from the claim to the recorded end.

An attempt goes to the pool, which reports its start, its log lines and its outcome. It is held until its end,
or its return to the queue, is written or refused by the fence: so whatever began here is known here until the
tables know how it ended, and is never mistaken for a claim that was lost.

An end that can never be stored is replaced by a failure that says so. One that is known when the lease is
lost is still written under the lease's old id, unless the job was given to others meanwhile.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from runwright.core.clock import Clock
from runwright.core.job_state import TERMINAL, ErrorCode, JobStatus
from runwright.db.errors import invalid
from runwright.db.patience import unhurried
from runwright.db.pool import Database
from runwright.executor.lease import Lease
from runwright.executor.preparation import Preparation, Refusal
from runwright.executor.progress_reports import ProgressReports
from runwright.executor.recorder import Recorder
from runwright.executor.worker_cache import LoadedWorker, WorkerCache
from runwright.handler_calls.store import RunningAttempt
from runwright.jobs.model import AttemptEnd, AttemptPart, ClaimedAttempt
from runwright.jobs.notifications import JobNotifications
from runwright.leases.store import cancel_requests
from runwright.loops.pass_loop import PassLoop
from runwright.runtimes.handler_calls import ReportedProgress
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, OutputLine
from runwright.runtimes.pool.pool import Pool
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.executor import (
    AttemptNotPrepared,
    JobAttemptEnded,
    JobHandedBack,
    JobRecordsAbandoned,
    JobResultRefused,
    WorkerNotLoaded,
)

LOG_FLUSH_SECONDS: Final = 0.1
CANCELS_SECONDS: Final = 1.0
"""How often cancel requests are read without a notification, in case one was lost."""
AGAIN_SECONDS: Final = 1.0
"""The pause before an end is recorded again that the database refuses even as a bare failure."""
_UNSTARTED: Final = AttemptOutcome(status=OutcomeStatus.UNSTARTED)
_CANCELLED: Final = AttemptOutcome(
    status=OutcomeStatus.CANCELLED, error_code=ErrorCode.CANCELLED, error_message="Cancelled."
)
_LOST: Final = AttemptOutcome(
    status=OutcomeStatus.FAILED,
    error_code=ErrorCode.EXECUTOR_LOST,
    error_message="The sandbox of this attempt was lost after it had begun.",
)


class EndRecorded(Protocol):
    """What is called when the end of an attempt is recorded."""

    def __call__(self, *, limited: bool) -> None:
        """`limited`: whether its worker has a max_concurrency."""


def _ignore_end(*, limited: bool) -> None:
    """Do nothing; until there is a claim loop."""


MakePool = Callable[["AttemptRunner"], Pool]


class AttemptRunner:
    """Runs claimed attempts in the pool and records how they end."""

    def __init__(
        self,
        db: Database,
        *,
        lease: Lease,
        clock: Clock,
        notifications: JobNotifications,
        emit: Emit,
        preparation: Preparation,
        make_pool: MakePool,
    ) -> None:
        """`make_pool` builds the pool around this runner's `on_…` callbacks."""
        self._db = db
        self._lease = lease
        self._clock = clock
        self._notifications = notifications
        self._emit = emit
        self._preparation = preparation
        self._end_recorded: EndRecorded = _ignore_end
        self._capacity_freed: Callable[[], None] = lambda: None
        self.workers = WorkerCache(db)
        self.draining = False
        self.hand_backs_in_row = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._ids = itertools.count(1)
        self._attempts: dict[int, ClaimedAttempt] = {}
        self._ending: set[int] = set()
        self._lost_claims: set[tuple[str, int]] = set()
        self._unplaced: dict[int, ClaimedAttempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log_timer: asyncio.TimerHandle | None = None
        self._progress = ProgressReports(clock, self._record_part)
        self._recorder = Recorder(db, executor_id=lease.id, emit=emit)
        self._past_recorders: list[Recorder] = []
        self.pool = make_pool(self)
        self.cancels = PassLoop("cancels", self._apply_cancels, emit=emit)

    def __len__(self) -> int:
        """Return how many attempts are held."""
        return len(self._attempts)

    def notify_claims(self, *, end_recorded: "EndRecorded", capacity_freed: Callable[[], None]) -> None:
        """Set what is called when the end of an attempt is recorded, and when a sandbox is done."""
        self._end_recorded, self._capacity_freed = end_recorded, capacity_freed

    def running(self, assignment_id: int) -> RunningAttempt | None:
        """Return an attempt that is held, with the proof; None where its lease was lost."""
        attempt = self._attempts.get(assignment_id)
        return None if attempt is None else RunningAttempt(attempt=attempt, executor_id=self._lease.id)

    def unplaced(self) -> list[ClaimedAttempt]:
        """Return the attempts that are held and that the pool does not know of yet."""
        return list(self._unplaced.values())

    async def stop(self, within_seconds: float) -> None:
        """Write what was recorded, and stop."""
        recorders = [*self._past_recorders, self._recorder]
        await asyncio.gather(*(recorder.stop(within_seconds) for recorder in recorders))
        if self._attempts:  # the database is away; the reaper ends what could not be written
            self._emit(JobRecordsAbandoned(jobs=len(self)))
        await self.cancels.stop()

    def stop_logs(self) -> None:
        """Cancel what is still to be flushed."""
        self._progress.stop()
        if self._log_timer is not None:
            self._log_timer.cancel()

    def abandon(self) -> None:
        """Forget the attempts that run: the lease is lost, and their jobs belong to the reaper.

        Those that have ended stay held, until their ends are written or refused.
        """
        self._attempts = {key: one for key, one in self._attempts.items() if key in self._ending}
        self._unplaced.clear()
        if not self._attempts:
            self.idle.set()

    def renew(self) -> None:
        """Record under the executor's new id."""
        if not self._attempts:
            self._past_recorders.clear()
        self._past_recorders.append(self._recorder)
        self._recorder = Recorder(self._db, executor_id=self._lease.id, emit=self._emit)

    def held_keys(self) -> set[tuple[str, int]]:
        """Return (job, fence) of the attempts that are held, and of lost claims that go back."""
        return {(attempt.job_id, attempt.fence) for attempt in self._attempts.values()} | self._lost_claims

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` beside the claims; what it starts outlives the request that caused it."""
        with unhurried():
            task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- starting attempts -------------------------------------------------------------

    async def start(self, attempts: Iterable[ClaimedAttempt]) -> None:
        """Hold attempts that were just claimed, and hand them to the pool one after the other."""
        executor_id = self._lease.id
        for assignment_id, attempt in [(self._hold(attempt), attempt) for attempt in attempts]:
            await self._load_and_dispatch(assignment_id, attempt, executor_id)

    def start_now(self, attempt: ClaimedAttempt) -> None:
        """Hold an attempt and hand it to the pool at once where its worker's code is cached."""
        assignment_id = self._hold(attempt)
        worker = self._cached(attempt)
        if worker is not None:
            self._dispatch(assignment_id, attempt, worker)
        else:
            self.spawn(self._load_and_dispatch(assignment_id, attempt, self._lease.id))

    def _cached(self, attempt: ClaimedAttempt) -> LoadedWorker | None:
        return self.workers.get(attempt.worker_id, attempt.worker_revision, attempt.pinned_version)

    def _hold(self, attempt: ClaimedAttempt) -> int:
        assignment_id = next(self._ids)
        self._attempts[assignment_id] = attempt
        self._unplaced[assignment_id] = attempt
        self.idle.clear()
        return assignment_id

    async def _load_and_dispatch(self, assignment_id: int, attempt: ClaimedAttempt, executor_id: str) -> None:
        worker = self._cached(attempt)
        if worker is None:
            try:
                worker = await self.workers.fetch(attempt.worker_id, attempt.pinned_version)
            except Exception as error:  # noqa: BLE001  whatever the cause, the job goes back to the queue
                self._emit(WorkerNotLoaded(job_id=attempt.job_id, error=type(error).__name__))
        if self._lease.id == executor_id and assignment_id in self._attempts:  # else the lease was lost
            self._dispatch(assignment_id, attempt, worker)

    def _dispatch(self, assignment_id: int, attempt: ClaimedAttempt, worker: LoadedWorker | None) -> None:
        """Hand a held attempt to the pool, or end it or hand it back where it cannot run."""
        if attempt.cancelling:
            self._settle(assignment_id, _UNSTARTED)
        elif worker is None or worker.code.version != attempt.worker_version or self.draining:
            # Changed between claim and fetch, or stopping: back to the queue, to be claimed anew.
            self._settle(assignment_id, _UNSTARTED)
        elif worker.needs_preparation:
            self.spawn(self._prepare(assignment_id, attempt, worker, self._lease.id))
        else:
            self._assign(worker.assignment(assignment_id, attempt))

    def _assign(self, assignment: Assignment) -> None:
        self._unplaced.pop(assignment.id, None)
        self.pool.assign(assignment)

    async def _prepare(
        self, assignment_id: int, attempt: ClaimedAttempt, worker: LoadedWorker, executor_id: str
    ) -> None:
        """Gather what the attempt needs, then run it; claims continue meanwhile."""
        prepared: Assignment | Refusal | None = None
        try:
            prepared = await self._preparation.prepare(assignment_id, attempt, worker)
        except Exception as error:  # noqa: BLE001  whatever the cause, the job goes back to the queue
            self._emit(AttemptNotPrepared(job_id=attempt.job_id, error=type(error).__name__))
        if assignment_id not in self._attempts or self._lease.id != executor_id:
            return  # the lease was lost meanwhile
        if attempt.cancelling or prepared is None or self.draining:
            self._settle(assignment_id, _UNSTARTED)
        elif isinstance(prepared, Refusal):
            self._settle(assignment_id, prepared.outcome())
        else:
            self._assign(prepared)

    # --- what the pool reports ---------------------------------------------------------

    def on_started(self, assignment: Assignment, at: datetime) -> None:
        """Note when user code began."""
        attempt = self._attempts.get(assignment.id)
        if attempt is not None:
            attempt.started_at = at
            self.hand_backs_in_row = 0

    def on_line(self, assignment: Assignment, line: OutputLine) -> None:
        """Keep a log line; lines of running jobs are stored every `LOG_FLUSH_SECONDS`, or as chunks fill."""
        if (attempt := self._attempts.get(assignment.id)) is None:
            return
        if (chunk := attempt.add_line(line)) is not None:
            self._record_part(attempt, chunk)
        elif self._log_timer is None:
            self._log_timer = asyncio.get_running_loop().call_later(LOG_FLUSH_SECONDS, self._flush_logs)

    def on_progress(self, assignment: Assignment, progress: ReportedProgress) -> None:
        """Keep how far a job is."""
        attempt = self._attempts.get(assignment.id)
        if attempt is not None:
            self._progress.keep(attempt, progress)

    def on_capacity(self) -> None:
        """Let the claims use the pool's free capacity."""
        self._capacity_freed()

    def on_outcome(self, assignment: Assignment, outcome: AttemptOutcome) -> None:
        """Record how an attempt ended."""
        self._settle(assignment.id, outcome)

    def _flush_logs(self) -> None:
        self._log_timer = None
        for attempt in self._attempts.values():
            if (chunk := attempt.take_log()) is not None:
                self._record_part(attempt, chunk)

    def _record_part(self, attempt: ClaimedAttempt, part: AttemptPart) -> None:
        self._recorder.record(part).add_done_callback(partial(self._after_part, attempt, part))

    # --- recording ---------------------------------------------------------------------

    def _settle(self, assignment_id: int, outcome: AttemptOutcome) -> None:
        """Record the end of an attempt, or its return to the queue where user code never began."""
        attempt = self._attempts.get(assignment_id)
        if attempt is None or assignment_id in self._ending:  # its lease was lost, or it has ended
            return
        self._unplaced.pop(assignment_id, None)
        if outcome.status is OutcomeStatus.UNSTARTED and attempt.cancelling:
            outcome = _CANCELLED
        elif outcome.status is OutcomeStatus.UNSTARTED and attempt.started_at is not None:
            outcome = _LOST
        if attempt.progress is not None:
            self._progress.write(attempt)
        end = attempt.end(outcome, now=self._clock())
        if end.status is JobStatus.QUEUED:
            self.hand_backs_in_row += 1
        self._ending.add(assignment_id)
        self._record_end(assignment_id, attempt, end, self._recorder)

    def _record_end(
        self, assignment_id: int, attempt: ClaimedAttempt, end: AttemptEnd, recorder: Recorder
    ) -> None:
        after = partial(self._after_end, assignment_id, attempt, end, recorder)
        recorder.record(end).add_done_callback(after)

    def _after_end(
        self,
        assignment_id: int,
        attempt: ClaimedAttempt,
        end: AttemptEnd,
        recorder: Recorder,
        done: asyncio.Future[JobStatus | None],
    ) -> None:
        error = done.exception()
        if error is not None:
            self._replace_end(assignment_id, attempt, end, recorder, error)
            return
        self._release(assignment_id, attempt)
        status = done.result()
        if end.status is JobStatus.QUEUED and status in {None, JobStatus.QUEUED}:
            self._emit(JobHandedBack(job_id=end.job_id))
            self._notifications.jobs_ready()
            return
        if status is None:
            self._emit(JobResultRefused(job_id=end.job_id, attempt=end.attempt))
        else:
            self._emit(JobAttemptEnded(end.run_seconds, status=status, wait_seconds=attempt.wait_seconds))
        self._announce_end(attempt, end, status)

    def _announce_end(self, attempt: ClaimedAttempt, end: AttemptEnd, status: JobStatus | None) -> None:
        # When and why a job was cancelled is known to the tables only.
        as_recorded = status == end.status != JobStatus.CANCELLED
        heard = self._notifications.job_ended(end.job_id, end if as_recorded else None)
        elsewhere = attempt.awaited and not heard and status in TERMINAL
        if elsewhere or self._notifications.followed(end.job_id):
            self._notifications.announce_ended([end.job_id])

    def _replace_end(
        self,
        assignment_id: int,
        attempt: ClaimedAttempt,
        end: AttemptEnd,
        recorder: Recorder,
        error: BaseException,
    ) -> None:
        """Record a bare failure in place of an end that can never be stored; keep trying with that one."""
        if not invalid(error):  # the recorder has stopped; the reaper ends the job
            return
        if end.unstorable:
            again = partial(self._record_end, assignment_id, attempt, end, recorder)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, again)
        else:
            self._record_end(assignment_id, attempt, end.as_unstorable(), recorder)

    def hand_back_lost(self, end: AttemptEnd) -> None:
        """Record the hand-back of a claim whose answer was lost."""
        key = (end.job_id, end.fence)
        self._lost_claims.add(key)
        self._recorder.record(end).add_done_callback(partial(self._after_lost, key))

    def _after_lost(self, key: tuple[str, int], done: asyncio.Future[JobStatus | None]) -> None:
        self._lost_claims.discard(key)
        if done.exception() is None:
            self._notifications.jobs_ready()

    def _after_part(
        self, attempt: ClaimedAttempt, part: AttemptPart, done: asyncio.Future[JobStatus | None]
    ) -> None:
        if done.exception() is None:
            self._notifications.part_written(attempt, part)

    def _release(self, assignment_id: int, attempt: ClaimedAttempt) -> None:
        self._attempts.pop(assignment_id, None)
        self._ending.discard(assignment_id)
        if not self._attempts:
            self.idle.set()
        worker = self._cached(attempt)
        self._end_recorded(limited=worker is not None and worker.revision.max_concurrency is not None)

    # --- cancelling --------------------------------------------------------------------

    def on_cancel(self, executor_id: str) -> None:
        """Read the cancel requests soon, where they are for this executor."""
        if executor_id == self._lease.id:
            self.cancels.wake()

    async def _apply_cancels(self) -> float:
        if self._attempts:
            requested = set(await cancel_requests(self._db, executor_id=self._lease.id))
            for assignment_id, attempt in list(self._attempts.items()):
                if (attempt.job_id, attempt.fence) in requested and not attempt.cancelling:
                    attempt.cancelling = True
                    self.pool.cancel(assignment_id)
        return CANCELS_SECONDS
