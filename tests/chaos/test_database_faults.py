"""Every statement of the engine, with every class of error: accepted jobs end once, and nothing runs twice.

A proxy before PostgreSQL gives each statement the faults of the round, one at each of its next executions.
In the short form each fault meets every statement once, in the long one (`CHAOS=long`) again and again,
while 2,000 jobs end in each round. Jobs, ticks, events and deliveries all go through it; what became of them is read past it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from tests.chaos.features import refusals
from tests.chaos.postgres_proxy import Fault, PostgresProxy
from tests.integration.executor.conftest import CALLER, Engine
from tests.integration.loops.test_sender import Loops, answering
from tests.integration.schedules.world import ScheduleWorld
from tests.submissions import submission

if TYPE_CHECKING:
    from runwright.workers.model import Worker

from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError
from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.connection import StatementClass
from runwright.db.pool import Pool, open_pool
from runwright.executor import claim_loop
from runwright.jobs.model import Job
from runwright.loops.scheduler import Scheduler
from runwright.runtimes.host import Host
from runwright.runtimes.probe import probe_host

LONG: Final = os.environ.get("CHAOS") == "long"
JOBS: Final = 2000 if LONG else 12
PER_ARMING: Final = 50 if LONG else JOBS
SECONDS: Final = 100.0
ROUNDS: Final = (
    (Fault.GONE_BEFORE, Fault.GONE_AFTER, Fault.DISK_FULL),
    (Fault.SILENT_BEFORE, Fault.READ_ONLY),
    (Fault.SILENT_AFTER, Fault.CANCELLED),
    (Fault.STATEMENT_TIMEOUT, Fault.LOCK_TIMEOUT, Fault.SERIALIZATION),
    (Fault.TERMINATED, Fault.NO_PRIVILEGE, Fault.CORRUPTED),
)
QUICK: Final = StatementClass("test", 0.3)
"""So that a silent connection costs less than a second and not ten."""

STATEMENTS: Final = {
    "submit": "INSERT INTO jobs (tenant_id",
    "claim": "fence = q.fence + 1",
    "lost claims": "SELECT tenant_id, job_id, fence, attempt, worker_version FROM job_queue",
    "finish": "DELETE FROM job_queue q USING item",
    "retry": "run_at = i.retry_at",
    "log lines": "JOIN job_queue q ON q.tenant_id = c.tenant_id",
    "cancel": "SELECT state FROM job_queue WHERE tenant_id = $1 AND job_id = $2 FOR UPDATE",
    "cancel requests": "cancel_requested_at IS NOT NULL AND state = 'running'",
    "promote": "SET state = 'ready' FROM due",
    "rescue": "WITH dead AS",
    "lease": "UPDATE executors SET lease_expires_at",
    "tick": "INSERT INTO ticks",
    "route": "DELETE FROM event_queue",
    "deliver": "INSERT INTO deliveries",
    "claim to send": "SET claimed = true",
    "settle": "DELETE FROM outbox",
    "commit": "COMMIT;",
}

OK: Final = "def handler(input, env):\n    print('begun', flush=True)\n    return input\n"
FAILS: Final = "def handler(input, env):\n    raise ValueError('as asked')\n"
SLOW: Final = "import time\ndef handler(input, env):\n    time.sleep(60)\n"


class Stoppable(Protocol):
    """A loop, or several."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class World:
    """All the loops behind the proxy, and a pool beside it."""

    def __init__(self, direct: Pool, faulty: Pool, proxy: PostgresProxy, host: Host) -> None:
        self.direct = direct
        self.proxy = proxy
        self.engine = Engine(
            faulty,
            host,
            proxy.dsn,
            slots=4,
            lease_seconds=120,
            unresponsive_seconds=120,
            preparation=None,
        )
        self.loops = Loops(faulty, senders=1)
        self.loops.world.db = direct
        self.schedules = ScheduleWorld(direct)
        self.schedules.clock = system_clock  # type: ignore[method-assign]
        self.schedules.schedules._clock = system_clock  # noqa: SLF001
        self.scheduler = Scheduler(
            faulty, clock=system_clock, notifications=self.engine.notifications, emit=self.engine.telemetry
        )
        self.accepted: dict[str, str] = {}
        self.workers: dict[str, Worker] = {}
        self.events = 0

    def every_loop(self) -> Sequence[Stoppable]:
        return [
            self.engine,
            self.engine.reaper,
            self.loops.router,
            *self.loops.senders,
            self.scheduler,
        ]

    async def make_workers(self) -> None:
        for name, source, retries in (("ok", OK, 0), ("fails", FAILS, 1), ("slow", SLOW, 0)):
            self.workers[name] = await self.engine.worker(source, max_retries=retries)

    async def submit(self, number: int) -> None:
        """Submit one job of a kind by its number; one that is refused may be there nevertheless."""
        kind = ("ok", "ok", "ok", "later", "fails", "slow")[number % 6]
        worker = self.workers["ok" if kind == "later" else kind]
        at = system_clock() + timedelta(seconds=0.2) if kind == "later" else None
        job = None
        with refusals():
            new = submission(CALLER, worker.id, system_clock(), scheduled_at=at)
            job = await self.engine.jobs.submit(new)
            self.accepted[job.id] = kind
        if kind == "slow" and job is not None:
            await until(lambda: self.has_begun(job), SECONDS)
            await self.cancel(job)

    async def has_begun(self, job: Job) -> bool:
        return bool(self.engine.begun[job.id])

    async def cancel(self, job: Job) -> None:
        """Ask until the cancel is accepted, or an earlier one that was refused turns out to be committed."""
        for tries in range(50):
            with refusals():
                try:
                    await self.engine.jobs.cancel(CALLER, job.id)
                except ConflictError:
                    assert tries, "the first cancel finds the job ended"
                return
        raise AssertionError("a cancel is refused for ever")

    async def cancel_rest(self) -> None:
        """Slow jobs whose submit was refused, but which are there."""
        rows = await self.direct.fetch(
            "SELECT job_id FROM job_queue WHERE worker_id = $1 AND cancel_requested_at IS NULL",
            self.workers["slow"].id,
        )
        for row in rows:
            with contextlib.suppress(ConflictError), refusals():
                await self.engine.jobs.cancel(CALLER, row["job_id"])

    async def fire(self) -> None:
        """Let a new schedule be due."""
        schedule = await self.schedules.schedule(self.workers["ok"])
        await self.direct.execute(
            """
            UPDATE schedules SET next_run_at = date_trunc('minute', now()), due_at = date_trunc('minute', now())
            WHERE id = $1
            """,
            schedule.id,
        )
        self.scheduler.loop.wake()

    async def publish(self) -> None:
        """Append an event that has a subscriber."""
        await self.loops.append(1)
        self.events += 1

    async def is_settled(self) -> bool:
        """Whether every job has ended, every tick is judged, and every event is delivered."""
        await self.cancel_rest()
        return bool(
            await self.direct.fetchval(
                """
                SELECT NOT EXISTS (SELECT FROM job_queue) AND NOT EXISTS (SELECT FROM event_queue)
                   AND NOT EXISTS (SELECT FROM outbox)
                   AND NOT EXISTS (SELECT FROM schedules WHERE enabled AND due_at <= now())
                   AND (SELECT count(*) FROM deliveries WHERE status = 'delivered') = $1
                """,
                self.events,
            )
        )

    async def check(self) -> None:
        """The invariants, over everything so far."""
        await self.schedules.assert_whole()
        await self.schedules.assert_clocks_are_right()
        rows = {row["job_id"]: row for row in await self.direct.fetch(_ENDS)}
        assert set(self.accepted) <= set(rows), "an accepted job is lost"
        for job_id, row in rows.items():
            begun = self.engine.begun[job_id]
            assert begun <= 1 + row["max_retries"], f"{job_id} began {begun} times"
            assert begun >= (row["status"] != JobStatus.CANCELLED), f"{job_id} ended without having begun"
            assert row["code"] != ErrorCode.EXECUTOR_LOST, f"the end of {job_id} is lost"
        for job_id, kind in self.accepted.items():
            wanted = {"fails": JobStatus.FAILED, "slow": JobStatus.CANCELLED}.get(kind, JobStatus.COMPLETED)
            assert rows[job_id]["status"] == wanted, (kind, rows[job_id])
            assert kind != "fails" or rows[job_id]["attempt"] == 2


_ENDS: Final = """
SELECT r.job_id, r.status, r.attempt, r.error ->> 'code' AS code, j.max_retries
FROM job_results r JOIN jobs j ON j.id = r.job_id
"""


@pytest.fixture
async def world(
    database: Pool, database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(claim_loop, "LOST_CLAIMS_SECONDS", 0.0)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(PostgresProxy(folder, database_url))
        faulty = await open_pool(proxy.dsn, statement_class=QUICK)
        stack.callback(faulty.terminate)
        world = World(database, faulty, proxy, probe_host())
        await world.make_workers()
        stack.callback(world.loops.event_notifications.stop)
        url, _ = await stack.enter_async_context(
            answering(None, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        )
        endpoints = Loops(database, senders=1)
        stack.callback(endpoints.event_notifications.stop)
        await endpoints.world.endpoint(url=url, patterns=["webhook.*"])
        for loop in world.every_loop():
            stack.push_async_callback(loop.stop)
            await loop.start()
        stack.callback(proxy.arm)
        yield world


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  only the tables know
            await asyncio.sleep(0.05)


async def load(world: World, jobs: int) -> None:
    """Submit jobs, fire a schedule and publish an event."""
    await world.fire()
    await world.publish()
    await asyncio.gather(*(world.submit(number) for number in range(jobs)))


def missed(world: World, faults: Sequence[Fault]) -> set[tuple[str, Fault]]:
    """Return the statements that have not met a fault yet."""
    return {
        (name, fault)
        for name, text in STATEMENTS.items()
        for fault in faults
        if not any(text in key and hit is fault for key, hit in world.proxy.hits)
    }


@pytest.mark.parametrize("faults", ROUNDS, ids=" ".join)
async def test_every_statement_survives_every_fault(world: World, faults: Sequence[Fault]) -> None:
    """Each job ends once, one without retries begins once, no end is lost, and all else happens once."""
    await load(world, 6)  # the sandboxes are warm
    await until(world.is_settled, SECONDS)
    for _ in range(JOBS // PER_ARMING):
        world.proxy.arm(*faults)
        await load(world, PER_ARMING)
    async with asyncio.timeout(SECONDS):
        while missed(world, faults):
            await load(world, 6)
    world.proxy.arm()
    await until(world.is_settled, SECONDS)
    await world.check()


def test_the_rounds_have_every_fault() -> None:
    """A new kind of fault is tried too."""
    assert sorted(fault for faults in ROUNDS for fault in faults) == sorted(Fault)
