"""The small world that these tests play in: a database, a clock that they own, a few actors."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from runwright.core.ids import new_id
from runwright.core.job_state import JobStatus, Trigger
from runwright.core.roles import Caller, Role
from runwright.db.pool import Database
from runwright.job_views.service import JobViews
from runwright.jobs.model import AttemptEnd, ClaimedAttempt, Job, LogChunk
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.service import Jobs
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.jobs.store.claim import ClaimResult, QueueCursor, claim_jobs, promote_due
from runwright.jobs.store.finish import finish_attempts
from runwright.jobs.store.submit import DEFAULT_PRIORITY, Submission
from runwright.leases.store import (
    ExecutorRecord,
    check_leases,
    expire_lease,
    register_executor,
    rescue_expired,
)
from runwright.runtimes.model import AttemptOutcome, OutcomeStatus
from runwright.runtimes.pool.settings import PoolCapacity
from runwright.workers.model import NewWorker, RuntimeName, Worker
from runwright.workers.service import Workers
from tests.bundles import no_bundles
from tests.submissions import submission

_TALLIED = """
SELECT worker_id, trigger, status, sum(jobs)::bigint AS jobs FROM (
    SELECT worker_id, trigger, status, jobs FROM job_counts
    UNION ALL SELECT worker_id, trigger, status, jobs FROM job_count_deltas
) every GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_ENDED = """
SELECT r.worker_id, j.trigger, r.status, count(*) AS jobs
FROM job_results r JOIN jobs j ON j.id = r.job_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXECUTOR = "exe_a"


class World:
    """Everything needed to move jobs about by hand."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = START
        self.sent: list[str] = []
        self.notifications = JobNotifications(origin="test", send=self.sent.append)
        self.jobs = Jobs(db, clock=self.clock, notifications=self.notifications)
        self.job_views = JobViews(db, self.jobs, clock=self.clock, notifications=self.notifications)
        self.workers = Workers(db, no_bundles(db), clock=self.clock, on_deprecated=self._cancel_leftovers)

    def clock(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def caller(self, tenant: str = "ten_a") -> Caller:
        return Caller(tenant, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")

    async def worker(
        self, tenant: str = "ten_a", *, max_retries: int = 0, max_concurrency: int | None = None
    ) -> Worker:
        return await self.workers.create(
            self.caller(tenant),
            NewWorker(
                name="w",
                runtime=RuntimeName.PYTHON,
                source_code="x",
                max_retries=max_retries,
                max_concurrency=max_concurrency,
            ),
        )

    async def job(self, worker: Worker, *, priority: int = 5, scheduled_at: datetime | None = None) -> Job:
        return await self.jobs.submit(
            self.submission(worker.id, worker.tenant_id, priority=priority, scheduled_at=scheduled_at)
        )

    def submission(
        self,
        worker_id: str,
        tenant: str = "ten_a",
        *,
        input: bytes = b"{}",
        trigger: Trigger = Trigger.MANUAL,
        priority: int = DEFAULT_PRIORITY,
        scheduled_at: datetime | None = None,
    ) -> Submission:
        return submission(
            self.caller(tenant),
            worker_id,
            self.now,
            input=input,
            trigger=trigger,
            priority=priority,
            scheduled_at=scheduled_at,
        )

    async def executor(
        self,
        executor_id: str = EXECUTOR,
        *,
        runtimes: Sequence[str] = ("python",),
        slots: int = 4,
        newcomer_slots: int = 0,
    ) -> str:
        record = ExecutorRecord(
            id=executor_id,
            host="h",
            pid=1,
            slots=slots,
            newcomer_slots=newcomer_slots,
            isolation="standard",
            runtimes=list(runtimes),
        )
        await register_executor(self.db, record, lease_seconds=3600)
        return executor_id

    async def claim_all(
        self,
        executor_id: str = EXECUTOR,
        *,
        capacity: int = 100,
        fast: dict[str, int] | None = None,
        newcomers: int = 0,
        holding: dict[str, int] | None = None,
        used: dict[str, float] | None = None,
        cursor: QueueCursor = QueueCursor(),  # noqa: B008  frozen
        runtimes: Sequence[str] = ("python",),
    ) -> ClaimResult:
        return await claim_jobs(
            self.db,
            now=self.now,
            executor_id=executor_id,
            capacity=PoolCapacity(capacity, fast or {}, newcomers, holding or {}),
            runtimes=runtimes,
            limit=256,
            cursor=cursor,
            used=used or {},
        )

    async def claim(self, executor_id: str = EXECUTOR, *, capacity: int = 100) -> list[ClaimedAttempt]:
        return (await self.claim_all(executor_id, capacity=capacity)).attempts

    def end_of(
        self,
        attempt: ClaimedAttempt,
        status: JobStatus = JobStatus.COMPLETED,
        *,
        retry_in: float | None = None,
        log: LogChunk | None = None,
    ) -> AttemptEnd:
        return AttemptEnd(
            tenant_id=attempt.tenant_id,
            job_id=attempt.job_id,
            fence=attempt.fence,
            attempt=attempt.attempt,
            worker_version=attempt.worker_version,
            status=status,
            started_at=self.now,
            ended_at=self.now,
            output=b'{"a":1}' if status is JobStatus.COMPLETED else None,
            error=None if status is JobStatus.COMPLETED else b'{"code":"handler_error","message":"no"}',
            retry_at=None if retry_in is None else self.now + timedelta(seconds=retry_in),
            log=log,
        )

    def chunk(self, attempt: ClaimedAttempt, *messages: str, seq: int = 1) -> LogChunk:
        """Log lines of an attempt, the first numbered `seq` within it."""
        first = attempt.fence * 1_000_000 + seq
        lines = ",".join(f'["2026-01-01T00:00:00Z","info","{message}"]' for message in messages)
        return LogChunk(
            tenant_id=attempt.tenant_id,
            job_id=attempt.job_id,
            fence=attempt.fence,
            attempt=attempt.attempt,
            first_seq=first,
            last_seq=first + len(messages) - 1,
            lines=f"[{lines}]".encode(),
        )

    def hand_back(self, attempt: ClaimedAttempt) -> AttemptEnd:
        return attempt.end(AttemptOutcome(status=OutcomeStatus.UNSTARTED), now=self.now)

    async def finish(self, *ends: AttemptEnd, executor_id: str = EXECUTOR) -> list[JobStatus | None]:
        return await finish_attempts(self.db, executor_id=executor_id, ends=ends)

    async def lose(self, executor_id: str = EXECUTOR) -> list[tuple[str, JobStatus]]:
        """The executor dies and its jobs are rescued."""
        await expire_lease(self.db, executor_id=executor_id)
        return await self.rescue()

    async def rescue(self) -> list[tuple[str, JobStatus]]:
        """What a reaper does where the database has worked all the time."""
        check = await check_leases(self.db)
        return await rescue_expired(self.db, now=self.now, before=check.at + timedelta(minutes=1))

    async def promote(self) -> tuple[int, datetime | None]:
        return await promote_due(self.db, now=self.now)

    async def status(self, job: Job | ClaimedAttempt) -> JobStatus:
        job_id = job.id if isinstance(job, Job) else job.job_id
        return (await self.jobs.get(job.tenant_id, job_id)).status

    async def assert_whole(self) -> None:
        """The invariants: live or ended, never both; one terminal event per ended job; each counted once."""
        assert (
            await self.db.fetchval(
                "SELECT count(*) FROM jobs j WHERE (SELECT count(*) FROM job_queue q WHERE q.job_id = j.id)"
                " + (SELECT count(*) FROM job_results r WHERE r.job_id = j.id) <> 1"
            )
            == 0
        )
        assert (
            await self.db.fetchval(
                "SELECT count(*) FROM job_results r WHERE (SELECT count(*) FROM events e"
                " WHERE e.subject_id = r.job_id AND e.type = 'job.' || r.status) <> 1"
            )
            == 0
        )
        assert await self.db.fetchval("SELECT count(*) FROM events WHERE type LIKE 'job.%'") == (
            await self.db.fetchval("SELECT count(*) FROM job_results")
        )

        assert await self.db.fetch(_TALLIED) == await self.db.fetch(_ENDED)

    async def _cancel_leftovers(self) -> None:
        while await cancel_jobs_of_deprecated(self.db, now=self.now):
            pass


def fresh_id() -> str:
    """An id that no table knows."""
    return new_id("job", START)
