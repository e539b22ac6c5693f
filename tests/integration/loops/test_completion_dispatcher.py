"""Completion callbacks: every end is handled exactly once, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import pytest

from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool, PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import JOB_ENDS, EndedJob
from runwright.jobs.model import Job
from runwright.jobs.store.prune import prune_jobs
from runwright.loops.completion_dispatcher import POSTPONE_SECONDS, CompletionDispatcher, CompletionRoute
from runwright.telemetry.events.jobs import CompletionCallbackFailed
from tests.integration.jobs.world import World
from tests.telemetry import RecordedTelemetry

SECONDS = 60.0


class Dispatchers:
    """Dispatchers whose handler records the ends in a table, and fails where the test wants it."""

    def __init__(self, db: Pool) -> None:
        self.world = World(db)
        self.breaking: dict[str, int] = {}
        self.seen: list[EndedJob] = []
        self.telemetry = RecordedTelemetry()
        self.all = [self._dispatcher() for _ in range(2)]

    def _dispatcher(self) -> CompletionDispatcher:
        dispatcher = CompletionDispatcher(
            self.world.db,
            [CompletionRoute(JOB_ENDS, {"test": self.handle})],
            clock=self.world.clock,
            event_notifications=EventNotifications(origin="here", send=lambda _: None),
            emit=self.telemetry,
        )
        self.world.notifications.on_changed(dispatcher.notify)
        return dispatcher

    async def handle(self, db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], _now: datetime) -> None:
        await db.executemany("INSERT INTO handled VALUES ($1, $2)", [(s, job.id) for s, job in ends])
        self.seen += [job for _, job in ends]
        for subject, _ in ends:
            if self.breaking.get(subject, 0):
                self.breaking[subject] -= 1
                if subject.startswith("dies"):
                    await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
                raise ValueError(subject)

    async def jobs(self, count: int, subject: str, kind: str = "test") -> list[Job]:
        worker = await self.world.worker()
        jobs = [await self.world.job(worker) for _ in range(count)]
        async with self.world.db.acquire() as db, db.transaction():
            await add_callbacks(
                db,
                CompletionTarget.JOB,
                [CompletionCallback(job.id, kind, f"{subject}{n}") for n, job in enumerate(jobs)],
            )
        return jobs

    async def handled(self) -> list[str]:
        return [row[0] for row in await self.world.db.fetch("SELECT subject FROM handled ORDER BY 1")]

    async def until_handled(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(await self.handled()) < count:
                loop = self.all[0].loop
                loop.wake()
                await loop.reached(loop.passes + 1)


@pytest.fixture
async def dispatchers(database: Pool) -> AsyncIterator[Dispatchers]:
    await database.execute("CREATE TABLE handled (subject text, job_id text)")
    one = Dispatchers(database)
    await one.world.executor()
    yield one
    for dispatcher in one.all:
        await dispatcher.stop()


async def end_all(world: World, status: JobStatus = JobStatus.COMPLETED) -> None:
    await world.finish(*[world.end_of(job, status) for job in await world.claim()])


async def test_ends_are_told_once_and_nothing_before_them(dispatchers: Dispatchers) -> None:
    world = dispatchers.world
    await dispatchers.jobs(30, "s")
    for dispatcher in dispatchers.all:
        await dispatcher.start()
    await dispatchers.all[0].loop.reached(1)
    assert await dispatchers.handled() == []
    await end_all(world)
    world.notifications.jobs_ended([])
    await dispatchers.until_handled(30)
    assert await dispatchers.handled() == sorted(f"s{n}" for n in range(30))
    assert await world.db.fetchval("SELECT count(*) FROM completion_callbacks") == 0
    assert bytes(dispatchers.seen[0].output or b"") == b'{"a":1}'


async def test_a_hint_from_this_process_is_enough(
    dispatchers: Dispatchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwright.loops.completion_dispatcher.PAUSE_SECONDS", 3600.0)
    await dispatchers.jobs(1, "s")
    dispatcher = dispatchers.all[0]
    await dispatcher.start()
    await dispatcher.loop.reached(1)
    passes = dispatcher.loop.passes
    await end_all(dispatchers.world)
    dispatchers.world.notifications.job_ended("job_x", None)
    async with asyncio.timeout(SECONDS):
        await dispatcher.loop.reached(passes + 1)


async def test_a_failure_and_a_cancel_are_ends_too(dispatchers: Dispatchers) -> None:
    world = dispatchers.world
    [failed, cancelled] = await dispatchers.jobs(2, "s")
    await world.jobs.cancel(world.caller(), cancelled.id)
    await end_all(world, JobStatus.FAILED)
    await dispatchers.all[0].start()
    await dispatchers.until_handled(2)
    by_id = {job.id: job for job in dispatchers.seen}
    error = by_id[failed.id].error
    assert error is not None
    assert error.message == "no"
    assert by_id[cancelled.id].status is JobStatus.CANCELLED


async def test_a_connection_that_dies_after_the_handler_wrote_neither_loses_nor_doubles(
    dispatchers: Dispatchers,
) -> None:
    await dispatchers.jobs(20, "dies")
    await end_all(dispatchers.world)
    dispatchers.breaking = {"dies7": 2}
    for dispatcher in dispatchers.all:
        await dispatcher.start()
    await dispatchers.until_handled(20)
    handled = await dispatchers.handled()
    assert dispatchers.breaking == {"dies7": 0}
    assert len(handled) == len(set(handled)) == 20


async def test_one_that_cannot_be_told_holds_up_nobody_and_is_tried_again(dispatchers: Dispatchers) -> None:
    world = dispatchers.world
    await dispatchers.jobs(5, "s")
    await end_all(world)
    dispatchers.breaking = {"s2": 2}
    await dispatchers.all[0].start()
    await dispatchers.until_handled(4)
    assert await dispatchers.handled() == ["s0", "s1", "s3", "s4"]
    assert {event.error for event in dispatchers.telemetry.of(CompletionCallbackFailed)} == {"ValueError: s2"}
    world.forward(POSTPONE_SECONDS)
    await dispatchers.until_handled(5)


async def test_other_kinds_are_left_to_others(dispatchers: Dispatchers) -> None:
    await dispatchers.jobs(1, "s", kind="run")
    await end_all(dispatchers.world)
    await dispatchers.all[0].start()
    await dispatchers.all[0].loop.reached(2)
    assert await dispatchers.handled() == []
    assert await dispatchers.world.db.fetchval("SELECT count(*) FROM completion_callbacks") == 1


async def test_a_job_that_is_forgotten_leaves_nothing_behind(dispatchers: Dispatchers) -> None:
    world = dispatchers.world
    await dispatchers.jobs(1, "s", kind="run")
    await end_all(world)
    await world.db.execute("INSERT INTO job_ancestry SELECT target_id, '{agt_a}' FROM completion_callbacks")
    world.forward(10)
    assert await prune_jobs(world.db, before=world.now, limit=10) == 1
    left = "SELECT (SELECT count(*) FROM completion_callbacks) + (SELECT count(*) FROM job_ancestry)"
    assert await world.db.fetchval(left) == 0
