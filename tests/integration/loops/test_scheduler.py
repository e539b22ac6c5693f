"""The loop that fires schedules."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from runwright.core.clock import system_clock
from runwright.db.pool import Pool
from runwright.loops.scheduler import Scheduler
from runwright.telemetry.events.schedules import ScheduleNotFired
from tests.integration.schedules.world import ScheduleWorld

MakeScheduler = Callable[..., Scheduler]


@pytest.fixture
def world(database: Pool) -> ScheduleWorld:
    return ScheduleWorld(database)


@pytest.fixture
async def make_scheduler(world: ScheduleWorld) -> AsyncIterator[MakeScheduler]:
    made: list[Scheduler] = []

    def make(*, batch: int = 250) -> Scheduler:
        made.append(world.scheduler(batch=batch))
        return made[-1]

    yield make
    for scheduler in made:
        await scheduler.stop()
    world.notifications.stop()


async def passes(scheduler: Scheduler, more: int) -> None:
    """Let it make that many whole passes from now on."""
    target = scheduler.loop.passes + more + 1
    while scheduler.loop.passes < target:
        scheduler.loop.wake()
        await scheduler.loop.reached(scheduler.loop.passes + 1)


async def test_it_fires_what_is_due_and_wakes_the_executors(
    world: ScheduleWorld, make_scheduler: MakeScheduler
) -> None:
    woken = asyncio.Event()
    world.notifications.on_ready(lambda _: woken.set())
    await world.schedule()
    scheduler = make_scheduler()
    await scheduler.start()
    await passes(scheduler, 1)
    assert not woken.is_set()
    world.forward(60)
    await passes(scheduler, 1)
    await asyncio.wait_for(woken.wait(), 60)
    assert len(await world.jobs_made()) == 1


async def test_a_batch_that_is_full_is_followed_by_the_next_at_once(
    world: ScheduleWorld, make_scheduler: MakeScheduler
) -> None:
    worker = await world.worker()
    for _ in range(25):
        await world.schedule(worker)
    world.forward(60)
    scheduler = make_scheduler(batch=10)
    await scheduler.start()
    await asyncio.wait_for(scheduler.loop.reached(3), 60)
    assert len(await world.jobs_made()) == 25


async def test_many_schedulers_share_the_work_and_fire_once(
    world: ScheduleWorld, make_scheduler: MakeScheduler
) -> None:
    worker = await world.worker()
    for _ in range(60):
        await world.schedule(worker)
    schedulers = [make_scheduler(batch=5) for _ in range(4)]
    for scheduler in schedulers:
        await scheduler.start()
    for round_number in range(1, 4):
        world.forward(60)
        await asyncio.gather(*(passes(scheduler, 14) for scheduler in schedulers))
        count = await world.db.fetchval("SELECT count(*) FROM ticks WHERE status = 'fired'")
        assert count == 60 * round_number
    await world.assert_clocks_are_right()


async def test_one_schedule_that_cannot_be_fired_holds_up_no_other(
    world: ScheduleWorld, make_scheduler: MakeScheduler
) -> None:
    worker = await world.worker()
    poison = await world.schedule(worker)
    await world.schedule(worker)
    # A row that contradicts the law: its tick is there already. It must spoil nothing but itself.
    await world.db.execute(
        "INSERT INTO ticks (schedule_id, scheduled_for, due_at, status, decided_at)"
        " SELECT id, next_run_at, next_run_at, 'missed', next_run_at FROM schedules WHERE id = $1",
        poison.id,
    )
    world.forward(60)
    scheduler = make_scheduler()
    await scheduler.start()
    await asyncio.wait_for(scheduler.loop.reached(1), 60)
    (job,) = await world.jobs_made()
    assert job.schedule_id != poison.id
    spoilt = [event.schedule_id for event in world.telemetry.of(ScheduleNotFired)]
    assert spoilt == [poison.id]


async def test_it_outlives_a_database_that_is_away(
    world: ScheduleWorld, make_scheduler: MakeScheduler
) -> None:
    await world.schedule()
    scheduler = make_scheduler()
    await scheduler.start()
    await passes(scheduler, 1)
    await world.db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    world.forward(60)
    async with asyncio.timeout(60):
        while not await world.jobs_made():
            await passes(scheduler, 1)
    await world.assert_clocks_are_right()


async def test_it_sleeps_until_the_next_tick_is_due(database: Pool) -> None:
    """With the real clock: a tick that comes to be due later fires without anybody's hint."""
    world = ScheduleWorld(database)
    world.now = system_clock()
    await world.schedule(misfire_grace_seconds=3600)
    scheduler = Scheduler(
        database, clock=system_clock, notifications=world.notifications, emit=world.telemetry
    )
    await database.execute(
        "UPDATE schedules SET due_at = $1, next_run_at = date_trunc('minute', $1::timestamptz)",
        system_clock() + timedelta(seconds=0.3),
    )
    await scheduler.start()
    try:
        async with asyncio.timeout(60):
            while not await world.jobs_made():
                await scheduler.loop.reached(scheduler.loop.passes + 1)
    finally:
        await scheduler.stop()
        world.notifications.stop()
