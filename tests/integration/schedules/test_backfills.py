"""Firing at once and for the past: every nominal time fires once, whoever asks for it and however often."""

from datetime import UTC, datetime, timedelta

import pytest

from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.paging import PageRequest
from runwright.db.pool import Pool
from runwright.schedules import backfills as module
from runwright.schedules.backfills import PUT_OFF, STEP_FIRINGS, Backfills, BackfillSteps
from runwright.schedules.model import Backfill, Schedule, Tick, TickOrigin
from runwright.tenants.idempotency import Idempotency
from runwright.tenants.quotas import Quota
from runwright.workers.model import WorkerStatus
from tests.integration.schedules.world import ScheduleWorld

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def world(database: Pool) -> ScheduleWorld:
    return ScheduleWorld(database)


@pytest.fixture
def backfills(world: ScheduleWorld) -> Backfills:
    return Backfills(world.db, clock=world.clock, retention=timedelta(days=10))


def steps_of(world: ScheduleWorld, quota: Quota | None = None) -> BackfillSteps:
    return BackfillSteps(world.db, clock=world.clock, notifications=world.notifications, quota=quota)


async def carry_out(world: ScheduleWorld) -> int:
    steps, taken = steps_of(world), 0
    while await steps.step():
        taken += 1
    return taken


async def caught_up(
    world: ScheduleWorld, backfills: Backfills, schedule: Schedule, begin: datetime, end: datetime
) -> Backfill:
    started = await backfills.start(world.caller(), schedule.id, begin, end)
    await carry_out(world)
    return await backfills.get("ten_a", schedule.id, started.id)


async def all_ticks(world: ScheduleWorld, schedule: Schedule) -> list[Tick]:
    found: list[Tick] = []
    page = PageRequest(per_page=100)
    while True:
        listing = await world.schedules.ticks(schedule.tenant_id, schedule.id, None, page)
        found += listing.rows
        if listing.next_id is None:
            return found[::-1]
        page = PageRequest(per_page=100, after_id=listing.next_id)


async def test_a_run_makes_one_job_and_leaves_the_next_firing_as_it_is(world: ScheduleWorld) -> None:
    for enabled in (True, False):
        schedule = await world.schedule(enabled=enabled, cron="0 13 * * *")
        world.forward(0.5)
        before = await world.again(schedule)
        job, replayed = await world.schedules.run(world.caller(), schedule.id)
        assert not replayed
        assert (job.schedule_id, job.trigger, job.triggered_by) == (schedule.id, "scheduled", "usr_1")
        assert await world.again(schedule) == before
        [tick] = await world.ticks(schedule)
        assert (tick.job_id, tick.status, tick.origin) == (job.id, "fired", "manual")
        assert tick.scheduled_for == job.scheduled_at
        assert world.now - timedelta(milliseconds=1) <= tick.scheduled_for <= world.now


async def test_runs_at_a_nominal_time_do_not_take_its_tick(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.now = NOON + MINUTE
    runs = [await world.schedules.run(world.caller(), schedule.id) for _ in range(3)]
    assert len({job.scheduled_at for job, _ in runs}) == 3
    await world.fire()
    ticks = await world.ticks(schedule)
    assert [tick.origin for tick in ticks] == [*(3 * [TickOrigin.MANUAL]), TickOrigin.SCHEDULE]
    assert (ticks[-1].scheduled_for, ticks[-1].status) == (NOON + MINUTE, "fired")
    assert await world.events() == {"schedule.fired": 4}


async def test_a_run_is_refused_where_the_worker_takes_no_jobs(world: ScheduleWorld) -> None:
    worker = await world.worker()
    schedule = await world.schedule(worker)
    await world.set_worker(worker, WorkerStatus.PAUSED)
    with pytest.raises(ConflictError, match="paused"):
        await world.schedules.run(world.caller(), schedule.id)
    with pytest.raises(NotFoundError):
        await world.schedules.run(world.caller("ten_b"), schedule.id)
    assert await world.ticks(schedule) == []
    assert await world.jobs_made() == []


async def test_a_key_runs_a_schedule_once(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    key = Idempotency("k", b"digest")
    first, _ = await world.schedules.run(world.caller(), schedule.id, key)
    again, replayed = await world.schedules.run(world.caller(), schedule.id, key)
    assert (again.id, replayed) == (first.id, True)
    with pytest.raises(ConflictError):
        await world.schedules.run(world.caller(), schedule.id, Idempotency("k", b"other"))
    assert len(await world.jobs_made()) == len(await world.ticks(schedule)) == 1


async def test_a_window_is_caught_up_once_however_often_it_is_asked_for(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule()
    world.now = NOON + MINUTE
    await world.fire()
    before = await world.again(schedule)
    begin, end = NOON - 60 * MINUTE, NOON + 60 * MINUTE
    plan = await backfills.plan("ten_a", schedule.id, begin, end)
    assert (plan.firings, plan.first, plan.last) == (61, begin, NOON)
    done = await caught_up(world, backfills, schedule, begin, end)
    assert (done.status, done.matched, done.done, done.skipped) == ("completed", 61, 61, 0)
    assert await world.again(schedule) == before
    again = await caught_up(world, backfills, schedule, begin - 2 * MINUTE, end)
    assert (again.matched, again.done, again.skipped) == (2, 2, 0)
    ticks = await all_ticks(world, schedule)
    assert [tick.scheduled_for for tick in ticks] == [NOON + n * MINUTE for n in range(-62, 2)]
    assert {tick.origin for tick in ticks[:-1]} == {TickOrigin.BACKFILL}
    assert ticks[-1].origin is TickOrigin.SCHEDULE
    times = await world.db.fetch("SELECT scheduled_at FROM jobs ORDER BY id")
    assert sorted(row[0] for row in times) == [tick.scheduled_for for tick in ticks]


async def test_what_was_missed_fires_and_what_is_to_come_is_left_to_the_scheduler(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule(cron="*/10 * * * *")
    world.now = NOON + 35 * MINUTE
    await world.fire()
    assert [tick.status for tick in await world.ticks(schedule)] == ["missed"] * 3
    world.now = NOON + 50 * MINUTE + timedelta(seconds=5)
    plan = await backfills.plan("ten_a", schedule.id, NOON, world.now)
    assert (plan.firings, plan.first, plan.last) == (4, NOON, NOON + 30 * MINUTE)
    await caught_up(world, backfills, schedule, NOON, world.now)
    await world.fire()
    ticks = await all_ticks(world, schedule)
    assert [(tick.status, tick.origin) for tick in ticks] == [
        *([("fired", "backfill")] * 4),
        ("missed", "schedule"),
        ("fired", "schedule"),
    ]
    assert len(await world.jobs_made()) == 5


async def test_a_gap_of_many_missed_ticks_is_caught_up_from_any_side(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule()
    world.now = NOON + timedelta(hours=10)
    await world.fire()
    [gap] = [tick for tick in await all_ticks(world, schedule) if tick.count > 1]
    assert gap.through is not None
    last = gap.through.replace(second=0, microsecond=0)
    assert last - gap.scheduled_for == (gap.count - 1) * MINUTE
    middle = gap.scheduled_for + 10 * MINUTE
    await caught_up(world, backfills, schedule, middle, middle + 4 * MINUTE)
    await caught_up(world, backfills, schedule, gap.scheduled_for - MINUTE, gap.scheduled_for + 9 * MINUTE)
    [rest] = [tick for tick in await all_ticks(world, schedule) if tick.count > 1]
    assert (rest.scheduled_for, rest.count) == (gap.scheduled_for + 15 * MINUTE, gap.count - 15)
    assert (rest.through, rest.status) == (gap.through, "missed")
    await caught_up(world, backfills, schedule, rest.scheduled_for, last)
    ticks = await all_ticks(world, schedule)
    assert all(tick.count == 1 for tick in ticks)
    expected = 1 + (last - gap.scheduled_for) // MINUTE + 1
    assert sum(tick.origin is TickOrigin.BACKFILL for tick in ticks) == expected
    await world.assert_clocks_are_right()


async def test_a_step_is_bounded_and_one_that_is_cut_off_fires_nothing(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule(enabled=False)
    started = await backfills.start(world.caller(), schedule.id, NOON - 2 * STEP_FIRINGS * MINUTE, NOON)
    await steps_of(world).step()
    assert (await backfills.get("ten_a", schedule.id, started.id)).done == STEP_FIRINGS
    await world.db.execute("ALTER TABLE schedule_backfills ADD CONSTRAINT cut_off CHECK (done < 30)")
    with pytest.raises(Exception, match="cut_off"):
        await steps_of(world).step()
    assert len(await all_ticks(world, schedule)) == STEP_FIRINGS
    assert not await steps_of(world).step(), "it is put off"
    await world.db.execute("ALTER TABLE schedule_backfills DROP CONSTRAINT cut_off")
    world.forward(PUT_OFF.total_seconds())
    assert await carry_out(world) == 2
    done = await backfills.get("ten_a", schedule.id, started.id)
    assert (done.status, done.done) == ("completed", 2 * STEP_FIRINGS + 1)


async def test_a_backfill_waits_at_the_quota_and_ends_with_its_schedule(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule()
    started = await backfills.start(world.caller(), schedule.id, NOON - MINUTE, NOON)

    async def count(_tenant_id: str, _bound: int) -> int:
        return 0

    assert await steps_of(world, Quota("queued_jobs", limit_of=lambda _: 0, count=count)).step()
    waiting = await backfills.get("ten_a", schedule.id, started.id)
    assert (waiting.status, waiting.done) == ("running", 0)
    assert "queued_jobs" in str(waiting.error)
    await world.schedules.delete(world.caller(), schedule.id)
    world.forward(PUT_OFF.total_seconds())
    await carry_out(world)
    ended = await backfills.get("ten_a", schedule.id, started.id)
    assert (ended.status, ended.error) == ("cancelled", "The schedule was deleted.")
    assert await world.jobs_made() == []


async def test_a_worker_that_takes_no_jobs_fails_the_firings(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    worker = await world.worker()
    schedule = await world.schedule(worker)
    await world.set_worker(worker, WorkerStatus.PAUSED)
    done = await caught_up(world, backfills, schedule, NOON - MINUTE, NOON)
    assert (done.status, done.done, done.failed) == ("completed", 0, 2)
    assert done.error == f"The worker {worker.id} is paused."
    assert await world.ticks(schedule) == []
    await world.set_worker(worker, WorkerStatus.ACTIVE)
    assert (await caught_up(world, backfills, schedule, NOON - MINUTE, NOON)).done == 2


async def test_one_backfill_of_a_schedule_and_few_of_a_tenant_run(
    world: ScheduleWorld, backfills: Backfills, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = [await world.schedule() for _ in range(3)]
    monkeypatch.setattr(module, "MOST_BACKFILLS", 2)
    first = await backfills.start(world.caller(), one.id, NOON - MINUTE, NOON)
    with pytest.raises(ConflictError, match="of this schedule"):
        await backfills.start(world.caller(), one.id, NOON - MINUTE, NOON)
    await backfills.start(world.caller(), two.id, NOON - MINUTE, NOON)
    with pytest.raises(ConflictError, match="2 backfills"):
        await backfills.start(world.caller(), three.id, NOON - MINUTE, NOON)
    cancelled = await backfills.cancel(world.caller(), one.id, first.id)
    assert cancelled.status == "cancelled"
    with pytest.raises(ConflictError, match="already ended"):
        await backfills.cancel(world.caller(), one.id, first.id)
    stops = "SELECT subject_id, user_id FROM audit_log WHERE action = 'schedule.backfill_stop'"
    assert [tuple(row) for row in await world.db.fetch(stops)] == [(one.id, "usr_1")]
    with pytest.raises(NotFoundError):
        await backfills.cancel(world.caller("ten_b"), two.id, first.id)
    await carry_out(world)
    assert await world.ticks(one) == []
    assert len(await world.ticks(two)) == 2


async def test_windows_that_cannot_be_known_or_are_too_large_are_refused(
    world: ScheduleWorld, backfills: Backfills
) -> None:
    schedule = await world.schedule()
    for begin, end, name in (
        (NOON - timedelta(days=11), NOON, "from"),
        (NOON - timedelta(days=9), NOON, "from"),
        (NOON, NOON - MINUTE, "to"),
    ):
        with pytest.raises(InvalidError) as refused:
            await backfills.start(world.caller(), schedule.id, begin, end)
        assert refused.value.fields.keys() == {name}
    with pytest.raises(InvalidError, match="invalid") as refused:
        await backfills.plan("ten_a", schedule.id, NOON + MINUTE, NOON + 2 * MINUTE)
    assert refused.value.fields.keys() == {"from"}
    nothing = await caught_up(world, backfills, schedule, NOON - MINUTE / 2, NOON - MINUTE / 3)
    assert (nothing.status, nothing.matched) == ("completed", 0)


async def test_what_has_fired_meanwhile_is_skipped(world: ScheduleWorld, backfills: Backfills) -> None:
    schedule = await world.schedule(enabled=False)
    started = await backfills.start(world.caller(), schedule.id, NOON - MINUTE, NOON)
    await world.db.execute("UPDATE schedule_backfills SET status = 'cancelled', completed_at = due_at")
    await caught_up(world, backfills, schedule, NOON, NOON)
    await world.db.execute(
        "UPDATE schedule_backfills SET status = 'running', completed_at = NULL WHERE id = $1", started.id
    )
    await carry_out(world)
    resumed = await backfills.get("ten_a", schedule.id, started.id)
    assert (resumed.status, resumed.matched, resumed.done, resumed.skipped) == ("completed", 2, 1, 1)
    assert len(await world.jobs_made()) == 2
