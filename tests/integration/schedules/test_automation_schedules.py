"""Schedules that automations own: on the same clock as those of workers, and apart from them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from runwright.core.ids import new_id
from runwright.core.paging import PageRequest
from runwright.db.pool import PoolConnection
from runwright.schedules.automation_schedules import (
    ScheduleTiming,
    change_automation_schedule,
    create_automation_schedule,
)
from runwright.schedules.firing import DueTick, TickHandler, TickResult, fire_due, handler_by_owner
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.model import ScheduleFilter, ScheduleOwner, TimingKind
from runwright.schedules.store.automation_schedules import (
    ScheduleState,
    delete_automation_schedule,
    fetch_schedule_states,
    lock_automation_schedule,
)
from runwright.schedules.tick_policy import CatchUp, TickReason
from tests.integration.jobs.world import START
from tests.integration.schedules.world import ScheduleWorld

MINUTE = timedelta(minutes=1)
EVERY_MINUTE = ScheduleTiming(timing=TimingKind.EVERY, step=MINUTE, misfire_grace_seconds=30)


async def create(
    world: ScheduleWorld, timing: ScheduleTiming, *, id: str = "job-a", enabled: bool = True
) -> None:
    async with world.db.acquire() as db, db.transaction():
        await create_automation_schedule(
            db, id=id, tenant_id="ten_a", timing=timing, enabled=enabled, now=world.now
        )


async def change(
    world: ScheduleWorld,
    timing: ScheduleTiming,
    *,
    enabled: bool = True,
    restart: bool = False,
    id: str = "job-a",
) -> None:
    async with world.db.acquire() as db, db.transaction():
        schedule = await lock_automation_schedule(db, id=id)
        assert schedule is not None
        await change_automation_schedule(
            db, schedule, timing=timing, enabled=enabled, restart=restart, now=world.now
        )


async def clock(world: ScheduleWorld, id: str = "job-a") -> ScheduleState | None:
    return (await fetch_schedule_states(world.db, ids=[id])).get(id)


class Runs:
    """What automations' ticks made."""

    def __init__(self, not_before: datetime | None = None) -> None:
        self.made: list[tuple[str, datetime]] = []
        self.not_before = not_before

    async def make(self, _: PoolConnection, wanted: Sequence[DueTick], now: datetime) -> Sequence[TickResult]:
        self.made += [(one.schedule.id, one.scheduled_for) for one in wanted]
        if self.not_before is not None:
            return [TickResult(None, TickReason.FIRE_LIMIT, self.not_before) for _ in wanted]
        return [TickResult(new_id("job", now)) for _ in wanted]

    @property
    def handler(self) -> TickHandler:
        return handler_by_owner({ScheduleOwner.WORKER: submit_jobs, ScheduleOwner.AUTOMATION: self.make})


async def test_each_tick_is_made_by_its_owners_maker(world: ScheduleWorld) -> None:
    runs = Runs()
    schedule = await world.schedule()
    await create(world, EVERY_MINUTE)
    world.forward(61)
    fired = await fire_due(world.db, runs.handler, now=world.now, limit=10)
    assert fired.fired == 2
    assert runs.made == [("job-a", START + MINUTE)]
    (job,) = await world.jobs_made()
    assert job.schedule_id == schedule.id
    assert await world.events() == {"schedule.fired": 1}, "runs have events of their own"


async def test_an_automations_schedule_is_not_a_workers(world: ScheduleWorld) -> None:
    await create(world, EVERY_MINUTE)
    assert (await world.schedules.list("ten_a", ScheduleFilter(), PageRequest())).rows == []


async def test_a_grid_begins_where_it_was_set_and_keeps_to_its_points(world: ScheduleWorld) -> None:
    runs = Runs()
    await create(world, EVERY_MINUTE)
    for late in (61, 62, 60):
        world.forward(late)
        await fire_due(world.db, runs.handler, now=world.now, limit=10)
    assert [at for _, at in runs.made] == [START + n * MINUTE for n in (1, 2, 3)]
    state = await clock(world)
    assert state is not None
    assert (state.next_run_at, state.last_tick_at) == (START + 4 * MINUTE, START + 3 * MINUTE)
    assert (state.last_run_at, state.moved_at, state.misfires) == (world.now, world.now, 0)


async def test_a_single_instant_fires_once_and_leaves_no_clock(world: ScheduleWorld) -> None:
    runs = Runs()
    await create(world, ScheduleTiming(timing=TimingKind.AT, at=START + MINUTE, misfire_grace_seconds=30))
    await create(
        world, ScheduleTiming(timing=TimingKind.AT, at=START, misfire_grace_seconds=30), id="job-past"
    )
    assert await clock(world, "job-past") is None
    for _ in range(3):
        world.forward(61)
        await fire_due(world.db, runs.handler, now=world.now, limit=10)
    assert runs.made == [("job-a", START + MINUTE)]
    assert await clock(world) is None


async def test_an_instant_that_was_missed_says_so_or_is_caught_up(world: ScheduleWorld) -> None:
    runs = Runs()
    at = START + MINUTE
    await create(world, ScheduleTiming(timing=TimingKind.AT, at=at, misfire_grace_seconds=30))
    late = ScheduleTiming(timing=TimingKind.AT, at=at, misfire_grace_seconds=30, catch_up=CatchUp.LAST)
    await create(world, late, id="job-late")
    world.forward(3600)
    await fire_due(world.db, runs.handler, now=world.now, limit=10)
    assert runs.made == [("job-late", at)]


async def test_misfires_are_counted_once_for_an_outage(world: ScheduleWorld) -> None:
    runs = Runs()
    await create(world, EVERY_MINUTE)
    world.forward(10 * 60 + 31)
    await fire_due(world.db, runs.handler, now=world.now, limit=10)
    state = await clock(world)
    assert state is not None
    assert (runs.made, state.misfires, state.last_misfire_at) == ([], 1, world.now)
    assert state.next_run_at == START + 11 * MINUTE


async def test_a_tick_that_is_put_off_begins_the_grid_anew(world: ScheduleWorld) -> None:
    later = START + timedelta(minutes=7, seconds=30)
    runs = Runs(not_before=later)
    await create(world, EVERY_MINUTE)
    await create(
        world,
        ScheduleTiming(timing=TimingKind.AT, at=START + MINUTE, misfire_grace_seconds=30),
        id="job-once",
    )
    world.forward(61)
    await fire_due(world.db, runs.handler, now=world.now, limit=10)
    for id in ("job-a", "job-once"):
        state = await clock(world, id)
        assert state is not None
        assert state.next_run_at == later
    runs.not_before = None
    world.now = later
    await fire_due(world.db, runs.handler, now=world.now, limit=10)
    assert sorted(runs.made[2:]) == [("job-a", later), ("job-once", later)]
    state = await clock(world)
    assert state is not None
    assert state.next_run_at == later + MINUTE


async def test_a_change_of_something_else_keeps_the_cursor_and_a_pause_sets_it_anew(
    world: ScheduleWorld,
) -> None:
    await create(world, EVERY_MINUTE)
    world.forward(30)
    kept = ScheduleTiming(timing=TimingKind.EVERY, step=MINUTE, misfire_grace_seconds=5, catch_up=CatchUp.ALL)
    await change(world, kept)
    state = await clock(world)
    assert state is not None
    assert (state.next_run_at, state.misfire_grace_seconds) == (START + MINUTE, 5)
    assert state.catch_up is CatchUp.ALL
    await change(world, kept, enabled=False)
    assert await clock(world) is None
    world.forward(600)
    assert (await fire_due(world.db, Runs().handler, now=world.now, limit=10)).schedules == 0
    await change(world, kept)
    state = await clock(world)
    assert state is not None
    assert state.next_run_at == world.now + MINUTE
    await change(
        world, ScheduleTiming(timing=TimingKind.EVERY, step=2 * MINUTE, misfire_grace_seconds=5), restart=True
    )
    state = await clock(world)
    assert state is not None
    assert state.next_run_at == world.now + 2 * MINUTE


async def test_what_is_deleted_fires_no_more(world: ScheduleWorld) -> None:
    await create(world, EVERY_MINUTE)
    async with world.db.acquire() as db, db.transaction():
        await delete_automation_schedule(db, id="job-a")
    world.forward(61)
    assert (await fire_due(world.db, Runs().handler, now=world.now, limit=10)).schedules == 0
