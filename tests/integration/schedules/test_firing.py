"""A due tick is judged once, in one transaction with what it makes."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from runwright.core.job_state import JobStatus, Trigger
from runwright.db.pool import PoolConnection
from runwright.schedules.firing import DueTick, TickResult, fire_due
from runwright.schedules.job_factory import submit_jobs
from runwright.schedules.tick_policy import CatchUp, Overlap, TickStatus
from runwright.workers.model import WorkerStatus
from tests.integration.jobs.world import START
from tests.integration.schedules.world import ScheduleWorld, raw


async def test_a_firing_makes_a_job_with_the_schedules_input(world: ScheduleWorld) -> None:
    worker = await world.worker(max_retries=2)
    schedule = await world.schedule(worker, input=raw({"n": 1}))
    assert schedule.next_run_at == START + timedelta(minutes=1)
    assert (await world.fire()).schedules == 0
    world.forward(60.25)
    done = await world.fire()
    assert (done.schedules, done.fired, done.latest_ms) == (1, 1, 250)
    (job,) = await world.jobs_made()
    assert (job.trigger, job.schedule_id, job.worker_id) == (Trigger.SCHEDULED, schedule.id, worker.id)
    assert (job.status, job.max_retries, bytes(job.input)) == (JobStatus.QUEUED, 2, b'{"n":1}')
    assert (job.scheduled_at, job.created_at) == (START + timedelta(minutes=1), world.now)
    assert job.triggered_by == "usr_1"
    after = await world.again(schedule)
    assert (after.last_job_id, after.last_run_at) == (job.id, world.now)
    assert after.next_run_at == START + timedelta(minutes=2)
    assert after.updated_at == schedule.updated_at
    (tick,) = await world.ticks(schedule)
    assert (tick.status, tick.job_id, tick.reason) == (TickStatus.FIRED, job.id, None)
    assert (tick.scheduled_for, tick.decided_at) == (START + timedelta(minutes=1), world.now)
    assert await world.events() == {"schedule.fired": 1}
    assert (await world.fire()).schedules == 0
    await world.assert_clocks_are_right()


async def test_a_job_that_a_tick_made_can_be_claimed_at_once(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(61)
    await world.fire()
    await world.executor()
    (claimed,) = await world.claim()
    assert claimed.job_id == (await world.again(schedule)).last_job_id
    await world.finish(world.end_of(claimed))
    again = await world.jobs.retry(world.caller(), claimed.job_id)
    assert (again.schedule_id, again.retry_of) == (schedule.id, claimed.job_id)
    await world.assert_whole()
    await world.assert_clocks_are_right()


async def test_two_schedulers_never_fire_a_tick_twice(world: ScheduleWorld) -> None:
    worker = await world.worker()
    for _ in range(40):
        await world.schedule(worker)
    for _ in range(3):
        world.forward(60)
        results = await asyncio.gather(*(world.fire(limit=7) for _ in range(8)))
        while (more := await world.fire(limit=7)).schedules:
            results.append(more)
        assert sum(done.fired for done in results) == 40
    assert await world.db.fetchval("SELECT count(*) FROM ticks WHERE status = 'fired'") == 120
    assert await world.db.fetchval("SELECT count(*) FROM jobs") == 120
    await world.assert_clocks_are_right()


async def test_a_scheduler_that_dies_before_the_commit_leaves_the_tick_to_the_next(
    world: ScheduleWorld,
) -> None:
    schedule = await world.schedule()
    world.forward(60)

    async def make_and_die(db: PoolConnection, wanted: list[DueTick], now: datetime) -> list[TickResult]:
        await submit_jobs(db, wanted, now)
        await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise AssertionError("unreachable")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await fire_due(world.db, make_and_die, now=world.now, limit=10)  # type: ignore[arg-type]
    assert await world.jobs_made() == []
    assert await world.ticks(schedule) == []
    assert (await world.fire()).fired == 1
    assert len(await world.jobs_made()) == 1


async def test_a_schedule_that_another_scheduler_holds_is_passed_over(world: ScheduleWorld) -> None:
    worker = await world.worker()
    held = await world.schedule(worker)
    await world.schedule(worker)
    world.forward(60)
    async with world.db.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM schedules WHERE id = $1 FOR UPDATE", held.id)
        assert (await world.fire()).fired == 1
    assert (await world.fire()).fired == 1


async def test_a_paused_worker_skips_its_ticks_and_says_so(world: ScheduleWorld) -> None:
    worker = await world.worker()
    schedule = await world.schedule(worker)
    await world.set_worker(worker, WorkerStatus.PAUSED)
    world.forward(60)
    assert (await world.fire()).skipped == 1
    await world.set_worker(worker, WorkerStatus.ACTIVE)
    world.forward(60)
    assert (await world.fire()).fired == 1
    assert await world.outcomes(schedule) == [
        ("12:01:00", "skipped", "worker_paused"),
        ("12:02:00", "fired", None),
    ]
    assert await world.events() == {"schedule.skipped": 1, "schedule.fired": 1}
    await world.assert_clocks_are_right()


async def test_a_deprecated_worker_stops_its_schedules(world: ScheduleWorld) -> None:
    worker = await world.worker()
    schedule = await world.schedule(worker)
    await world.set_worker(worker, WorkerStatus.DEPRECATED)
    world.forward(60)
    assert (await world.fire()).stopped == 1
    assert await world.outcomes(schedule) == [("12:01:00", "skipped", "worker_deprecated")]
    after = await world.again(schedule)
    assert (after.enabled, after.next_run_at) == (False, None)
    world.forward(600)
    assert (await world.fire()).schedules == 0


async def test_overlap_skip_waits_for_the_job_of_the_last_firing(world: ScheduleWorld) -> None:
    schedule = await world.schedule(overlap=Overlap.SKIP)
    await world.executor()
    world.forward(60)
    await world.fire()
    world.forward(60)
    await world.fire()  # queued
    (claimed,) = await world.claim()
    world.forward(60)
    await world.fire()  # running
    await world.finish(world.end_of(claimed))
    world.forward(60)
    await world.fire()  # ended
    assert [(status, reason) for _, status, reason in await world.outcomes(schedule)] == [
        ("fired", None),
        ("skipped", "overlap"),
        ("skipped", "overlap"),
        ("fired", None),
    ]
    await world.assert_clocks_are_right()


async def test_overlap_skip_holds_within_one_pass_too(world: ScheduleWorld) -> None:
    schedule = await world.schedule(overlap=Overlap.SKIP, misfire_grace_seconds=600)
    world.forward(150)
    done = await world.fire()
    assert (done.fired, done.skipped) == (1, 1)
    assert [status for _, status, _ in await world.outcomes(schedule)] == ["fired", "skipped"]


async def test_overlap_allow_does_not_wait(world: ScheduleWorld) -> None:
    await world.schedule()
    for _ in range(3):
        world.forward(60)
        assert (await world.fire()).fired == 1
    assert len(await world.jobs_made()) == 3


async def test_what_an_outage_missed_is_counted_and_not_made_up_for(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(3 * 60 + 45)
    done = await world.fire()
    assert (done.fired, done.missed) == (0, 3)
    assert await world.outcomes(schedule) == [(f"12:0{n}:00", "missed", "too_late") for n in (1, 2, 3)]
    assert (await world.again(schedule)).missed_count == 3
    assert await world.events() == {"schedule.skipped": 1}, "one event, however many were missed"
    world.forward(15)
    assert (await world.fire()).fired == 1
    await world.assert_clocks_are_right()


async def test_catch_up_last_fires_the_latest_missed_one_once(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="0 * * * *", catch_up=CatchUp.LAST)
    world.forward(5.5 * 3600)
    assert (await world.fire()).fired == 1
    assert await world.outcomes(schedule) == [
        *((f"{hour}:00:00", "missed", "too_late") for hour in (13, 14, 15, 16)),
        ("17:00:00", "fired", None),
    ]
    assert (await world.fire()).schedules == 0
    await world.assert_clocks_are_right()


async def test_a_year_of_minutes_is_told_in_few_rows_and_the_schedule_is_back_at_once(
    world: ScheduleWorld,
) -> None:
    schedule = await world.schedule()
    world.forward(365 * 86400)
    passes = 0
    while (await world.fire()).schedules:
        passes += 1
    assert passes <= 3
    after = await world.again(schedule)
    assert after.next_run_at == world.now + timedelta(minutes=1)
    rows = await world.db.fetchrow(
        "SELECT count(*) AS rows, sum(count) AS ticks, max(count) AS most FROM ticks"
    )
    assert rows is not None
    assert rows["rows"] < 300
    assert rows["ticks"] == 365 * 1440
    assert after.missed_count == 365 * 1440 - 1, "the one that is due now fired"
    assert len(await world.jobs_made()) == 1
    await world.assert_clocks_are_right()


async def test_jitter_puts_a_firing_off_and_is_not_lateness(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="0 * * * *", jitter_seconds=600)
    due_at = await world.db.fetchval("SELECT due_at FROM schedules")
    nominal = START + timedelta(hours=1)
    assert nominal < due_at < nominal + timedelta(minutes=10)
    world.now = due_at - timedelta(milliseconds=1)
    assert (await world.fire()).schedules == 0
    world.now = due_at
    assert (await world.fire()).latest_ms == 0
    (tick,) = await world.ticks(schedule)
    assert (tick.scheduled_for, tick.due_at) == (nominal, due_at)


async def test_a_schedule_whose_zone_is_gone_is_stopped_and_holds_up_no_other(world: ScheduleWorld) -> None:
    worker = await world.worker()
    broken = await world.schedule(worker)
    good = await world.schedule(worker)
    await world.db.execute("UPDATE schedules SET timezone = 'Mars/Base' WHERE id = $1", broken.id)
    world.forward(60)
    done = await world.fire()
    assert (done.fired, done.stopped) == (1, 1)
    assert await world.outcomes(broken) == [("12:01:00", "skipped", "schedule_broken")]
    assert await world.outcomes(good) == [("12:01:00", "fired", None)]
    assert not (await world.again(broken)).enabled


async def test_tenants_do_not_meet(world: ScheduleWorld) -> None:
    ours = await world.schedule(await world.worker("ten_a"))
    theirs = await world.schedule(await world.worker("ten_b"))
    world.forward(60)
    await world.fire()
    (our_job,) = await world.jobs_made("ten_a")
    (their_job,) = await world.jobs_made("ten_b")
    assert (our_job.schedule_id, their_job.schedule_id) == (ours.id, theirs.id)
