"""Following: every end of a followed job is acted on exactly once, whatever breaks while it is."""

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
from runwright.telemetry.events import CompletionCallbackFailed
from tests.integration.jobs.world import World
from tests.telemetry import RecordedTelemetry

SECONDS = 30.0


class Following:
    """Followers whose handler writes into a table what it was told, and breaks where it is told to."""

    def __init__(self, db: Pool) -> None:
        self.world = World(db)
        self.breaking: dict[str, int] = {}
        self.seen: list[EndedJob] = []
        self.telemetry = RecordedTelemetry()
        self.followers = [self._follower() for _ in range(2)]

    def _follower(self) -> CompletionDispatcher:
        follower = CompletionDispatcher(
            self.world.db,
            [CompletionRoute(JOB_ENDS, {"test": self.handle})],
            clock=self.world.clock,
            event_notifications=EventNotifications(origin="here", send=lambda _: None),
            emit=self.telemetry,
        )
        self.world.notifications.on_changed(follower.notify)
        return follower

    async def handle(self, db: PoolConnection, ends: Sequence[tuple[str, EndedJob]], _now: datetime) -> None:
        await db.executemany("INSERT INTO told VALUES ($1, $2)", [(s, job.id) for s, job in ends])
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

    async def told(self) -> list[str]:
        return [row[0] for row in await self.world.db.fetch("SELECT subject FROM told ORDER BY 1")]

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(await self.told()) < count:
                loop = self.followers[0].loop
                loop.wake()
                await loop.reached(loop.passes + 1)


@pytest.fixture
async def following(database: Pool) -> AsyncIterator[Following]:
    await database.execute("CREATE TABLE told (subject text, job_id text)")
    one = Following(database)
    await one.world.executor()
    yield one
    for follower in one.followers:
        await follower.stop()


async def end_all(world: World, status: JobStatus = JobStatus.COMPLETED) -> None:
    await world.finish(*[world.end_of(job, status) for job in await world.claim()])


async def test_ends_are_told_once_and_nothing_before_them(following: Following) -> None:
    world = following.world
    await following.jobs(30, "s")
    for follower in following.followers:
        await follower.start()
    await following.followers[0].loop.reached(1)
    assert await following.told() == []
    await end_all(world)
    world.notifications.jobs_ended([])
    await following.until_told(30)
    assert await following.told() == sorted(f"s{n}" for n in range(30))
    assert await world.db.fetchval("SELECT count(*) FROM completion_callbacks") == 0
    assert bytes(following.seen[0].output or b"") == b'{"a":1}'


async def test_a_hint_from_this_process_is_enough(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwright.loops.completion_dispatcher.PAUSE_SECONDS", 3600.0)
    await following.jobs(1, "s")
    follower = following.followers[0]
    await follower.start()
    await follower.loop.reached(1)
    passes = follower.loop.passes
    await end_all(following.world)
    following.world.notifications.job_ended("job_x", None)
    async with asyncio.timeout(SECONDS):
        await follower.loop.reached(passes + 1)


async def test_a_failure_and_a_cancel_are_ends_too(following: Following) -> None:
    world = following.world
    [failed, cancelled] = await following.jobs(2, "s")
    await world.jobs.cancel(world.caller(), cancelled.id)
    await end_all(world, JobStatus.FAILED)
    await following.followers[0].start()
    await following.until_told(2)
    by_id = {job.id: job for job in following.seen}
    error = by_id[failed.id].error
    assert error is not None
    assert error.message == "no"
    assert by_id[cancelled.id].status is JobStatus.CANCELLED


async def test_a_connection_that_dies_after_the_handler_wrote_neither_loses_nor_doubles(
    following: Following,
) -> None:
    await following.jobs(20, "dies")
    await end_all(following.world)
    following.breaking = {"dies7": 2}
    for follower in following.followers:
        await follower.start()
    await following.until_told(20)
    told = await following.told()
    assert following.breaking == {"dies7": 0}
    assert len(told) == len(set(told)) == 20


async def test_one_that_cannot_be_told_holds_up_nobody_and_is_tried_again(following: Following) -> None:
    world = following.world
    await following.jobs(5, "s")
    await end_all(world)
    following.breaking = {"s2": 2}
    await following.followers[0].start()
    await following.until_told(4)
    assert await following.told() == ["s0", "s1", "s3", "s4"]
    assert {event.error for event in following.telemetry.of(CompletionCallbackFailed)} == {"ValueError: s2"}
    world.forward(POSTPONE_SECONDS)
    await following.until_told(5)


async def test_other_kinds_are_left_to_others(following: Following) -> None:
    await following.jobs(1, "s", kind="run")
    await end_all(following.world)
    await following.followers[0].start()
    await following.followers[0].loop.reached(2)
    assert await following.told() == []
    assert await following.world.db.fetchval("SELECT count(*) FROM completion_callbacks") == 1


async def test_a_job_that_is_forgotten_leaves_nothing_behind(following: Following) -> None:
    world = following.world
    await following.jobs(1, "s", kind="run")
    await end_all(world)
    await world.db.execute("INSERT INTO job_ancestry SELECT target_id, '{agt_a}' FROM completion_callbacks")
    world.forward(10)
    assert await prune_jobs(world.db, before=world.now, limit=10) == 1
    left = "SELECT (SELECT count(*) FROM completion_callbacks) + (SELECT count(*) FROM job_ancestry)"
    assert await world.db.fetchval(left) == 0
