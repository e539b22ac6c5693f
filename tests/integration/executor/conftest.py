"""A running executor on a fresh database, and what is needed to drive it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.core.job_state import TERMINAL
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool as Database
from runwright.db.pool import open_pool
from runwright.executor.attempt_runner import AttemptRunner
from runwright.executor.executor import Executor
from runwright.executor.lease import ExecutorSettings, LeaseResources
from runwright.executor.preparation import Preparation
from runwright.job_views.service import JobViews
from runwright.jobs.model import Job
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.service import Jobs
from runwright.jobs.store.cancel import cancel_jobs_of_deprecated
from runwright.loops.promoter import Promoter
from runwright.loops.reaper import Reaper
from runwright.runtimes.host import Host
from runwright.runtimes.model import Assignment
from runwright.runtimes.pool.pool import Pool, PoolSettings
from runwright.runtimes.probe import probe_host
from runwright.workers.model import NewWorker, RuntimeName, Worker
from runwright.workers.service import Workers
from tests.bundles import no_bundles
from tests.submissions import submission
from tests.telemetry import RecordedTelemetry

CALLER = Caller("ten_a", "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")


class Engine:
    """One process's worth of engine, its parts at hand."""

    def __init__(
        self,
        db: Database,
        host: Host,
        database_url: str,
        *,
        slots: int,
        newcomer_slots: int = 0,
        lease_seconds: float,
        unresponsive_seconds: float,
        preparation: Preparation | None,
    ) -> None:
        self.db = db
        self.begun: Counter[str] = Counter()
        """How often user code of each job began, as the sandboxes report it."""
        self.telemetry = RecordedTelemetry()
        self.notifications = JobNotifications(origin="test", send=lambda _payload: None)
        self.workers = Workers(
            db,
            no_bundles(db),
            clock=system_clock,
            on_deprecated=self._cancel_leftovers,
            on_defined=self._preload_worker,
        )
        self.executor = Executor(
            db,
            lease_resources=LeaseResources(
                lambda: open_pool(database_url, max_size=1, application_name="runwright lease")
            ),
            settings=ExecutorSettings(
                host="h",
                pid=1,
                slots=slots,
                isolation=host.isolation.wire_name,
                runtimes=["python", "nodejs", "shell"],
                lease_seconds=lease_seconds,
                heartbeat_seconds=0.2,
                drain_seconds=0.3,
                unresponsive_seconds=unresponsive_seconds,
            ),
            clock=system_clock,
            notifications=self.notifications,
            emit=self.telemetry,
            preparation=preparation,
            make_pool=lambda runner: Pool(
                settings=PoolSettings(
                    slots=slots,
                    newcomer_slots=newcomer_slots,
                    prebooted={"python": 1, "shell": 1},
                    stocked_on_use=frozenset({"shell"}),
                    grace_seconds=0.3,
                ),
                host=host,
                clock=system_clock,
                on_started=partial(self._on_started, runner),
                on_line=runner.on_line,
                on_outcome=runner.on_outcome,
                on_capacity=runner.on_capacity,
            ),
        )
        self.jobs = Jobs(db, clock=system_clock, notifications=self.notifications, starter=self.executor)
        self.job_views = JobViews(db, self.jobs, clock=system_clock, notifications=self.notifications)
        self.promoter = Promoter(
            db, clock=system_clock, notifications=self.notifications, emit=self.telemetry
        )
        self.reaper = Reaper(
            db,
            clock=system_clock,
            notifications=self.notifications,
            emit=self.telemetry,
            interval_seconds=0.2,
        )

    def _on_started(self, runner: AttemptRunner, assignment: Assignment, at: datetime) -> None:
        self.begun[assignment.job_id] += 1
        runner.on_started(assignment, at)

    async def start(self) -> None:
        await self.executor.start()
        await self.promoter.start()

    async def stop(self) -> None:
        await self.promoter.stop()
        await self.executor.stop()
        await self.reaper.stop()
        await self.jobs.stop()
        self.notifications.stop()

    async def next_heartbeat(self) -> None:
        """Wait for the next one to end."""
        lease = self.executor.lease

        async def wait() -> None:
            await lease.heartbeat.reached(lease.heartbeat.passes + 1)

        await lease.thread.run(wait)

    async def worker(
        self,
        source: str,
        *,
        tenant: str = "ten_a",
        runtime: RuntimeName = RuntimeName.PYTHON,
        max_retries: int = 0,
        timeout_seconds: int = 30,
    ) -> Worker:
        return await self.workers.create(
            msgspec.structs.replace(CALLER, tenant_id=tenant),
            NewWorker(
                name="w",
                runtime=runtime,
                source_code=source,
                max_retries=max_retries,
                timeout_seconds=timeout_seconds,
            ),
        )

    async def submit(self, worker: Worker, text: bytes = b"{}") -> Job:
        caller = msgspec.structs.replace(CALLER, tenant_id=worker.tenant_id)
        return await self.jobs.submit(submission(caller, worker.id, system_clock(), input=text))

    async def ended(self, job: Job, seconds: float = 60) -> Job:
        ended = await self.jobs.wait(job.tenant_id, job.id, seconds)
        assert ended.status in TERMINAL, ended
        return ended

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Wait for something that only the tables know."""
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110  nothing announces what a table holds
                await asyncio.sleep(0.01)

    async def has_line(self, job: Job, text: str) -> bool:
        logs = await self.job_views.logs(job.tenant_id, job.id, level=None, limit=500, after=None)
        return any(text in line.msg for line in logs.logs)

    def _preload_worker(self, worker_id: str) -> None:
        self.executor.preload_worker(worker_id)

    async def _cancel_leftovers(self) -> None:
        while await cancel_jobs_of_deprecated(self.db, now=system_clock()):
            pass


@pytest.fixture(scope="session")
def host() -> Host:
    """What this machine offers."""
    return probe_host()


MakeEngine = Callable[..., Engine]


@pytest.fixture
async def make_engine(database: Database, database_url: str, host: Host) -> AsyncIterator[MakeEngine]:
    """Builds engines on one database; whatever a test left running is stopped."""
    made: list[Engine] = []

    def make(
        *,
        slots: int = 4,
        newcomer_slots: int = 0,
        lease_seconds: float = 30,
        unresponsive_seconds: float = 120,
        preparation: Preparation | None = None,
    ) -> Engine:
        engine = Engine(
            database,
            host,
            database_url,
            slots=slots,
            newcomer_slots=newcomer_slots,
            lease_seconds=lease_seconds,
            unresponsive_seconds=unresponsive_seconds,
            preparation=preparation,
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.stop()
