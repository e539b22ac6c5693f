"""Making, changing and deleting schedules, and where their clocks stand after it."""

from datetime import UTC, datetime, timedelta

import pytest

from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import ScheduleId
from runwright.core.paging import PageRequest
from runwright.schedules.model import ScheduleCreate, ScheduleFilter
from runwright.schedules.service import refresh_cursors
from runwright.schedules.store.schedules import disable_schedules_of_deprecated, outdated_ids
from runwright.schedules.store.ticks import prune_ticks
from runwright.schedules.tick_policy import TickStatus
from runwright.workers.model import WorkerStatus
from tests.integration.jobs.world import START
from tests.integration.schedules.world import ScheduleWorld, fresh_schedule_id, raw

MINUTE = timedelta(minutes=1)


async def test_the_cursor_is_written_when_the_schedule_is_made(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    assert schedule.next_run_at == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert await world.again(schedule) == schedule


async def test_a_schedule_made_disabled_does_not_fire_until_it_is_enabled(world: ScheduleWorld) -> None:
    schedule = await world.schedule(enabled=False)
    assert schedule.next_run_at is None
    world.forward(600)
    assert (await world.fire()).schedules == 0
    enabled = await world.change(schedule, enabled=True)
    assert enabled.next_run_at == world.now + MINUTE
    assert await world.ticks(schedule) == []


async def test_a_pause_leaves_no_ticks_and_a_resume_begins_anew(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    paused = await world.change(schedule, enabled=False)
    assert (paused.enabled, paused.next_run_at) == (False, None)
    world.forward(3600)
    assert (await world.fire()).schedules == 0
    resumed = await world.change(schedule, enabled=True)
    assert resumed.next_run_at == START + timedelta(minutes=61)
    assert await world.ticks(schedule) == []


async def test_a_new_expression_or_zone_sets_the_clock_anew(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="0 9 * * *", timezone="UTC")
    changed = await world.change(schedule, timezone="America/New_York")
    assert changed.next_run_at == datetime(2026, 3, 1, 14, tzinfo=UTC)
    changed = await world.change(schedule, cron="0 8 * * *")
    assert changed.next_run_at == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert await world.again(schedule) == changed


async def test_other_changes_leave_the_clock_alone(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(90)  # a tick is due that nobody judged yet
    changed = await world.change(schedule, name="n", input=raw({"a": 1}), misfire_grace_seconds=40)
    assert changed.next_run_at == schedule.next_run_at
    assert (changed.name, bytes(changed.input)) == ("n", b'{"a":1}')
    assert (await world.fire()).fired == 1


async def test_a_change_that_changes_nothing_is_none(world: ScheduleWorld) -> None:
    schedule = await world.schedule(input=raw({"a": 1}))
    world.forward(5)
    assert await world.change(schedule, enabled=True, input=raw({"a": 1}), cron="* * * * *") == schedule


async def test_a_tick_that_was_due_when_the_clock_is_set_anew_is_recorded(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(60)
    await world.change(schedule, cron="*/5 * * * *")
    assert await world.outcomes(schedule) == [("12:01:00", "skipped", "schedule_changed")]
    assert (await world.again(schedule)).next_run_at == START + 5 * MINUTE
    world.forward(10 * 60)
    await world.change(schedule, enabled=False)
    ticks = await world.ticks(schedule)
    assert [(tick.count, tick.status.value) for tick in ticks] == [(1, "skipped"), (2, "skipped")]
    await world.assert_clocks_are_right()


async def test_no_tick_is_judged_again_when_the_clock_of_the_host_goes_back(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(60)
    await world.fire()
    world.forward(-50)
    changed = await world.change(schedule, jitter_seconds=1)
    assert changed.next_run_at == START + 2 * MINUTE
    world.forward(112)
    assert (await world.fire()).fired == 1
    await world.assert_clocks_are_right()


async def test_a_schedule_needs_a_worker_of_the_tenant_that_is_not_deprecated(world: ScheduleWorld) -> None:
    worker = await world.worker()
    theirs = await world.worker("ten_b")
    with pytest.raises(NotFoundError):
        await world.schedules.create(
            world.caller(), ScheduleCreate(worker_id=theirs.id, cron="* * * * *", timezone="UTC")
        )
    schedule = await world.schedule(worker)
    with pytest.raises(NotFoundError):
        await world.change(schedule, worker_id=theirs.id)
    await world.set_worker(worker, WorkerStatus.PAUSED)
    await world.schedule(worker)
    await world.set_worker(worker, WorkerStatus.DEPRECATED)
    with pytest.raises(ConflictError):
        await world.schedule(worker)
    assert await disable_schedules_of_deprecated(world.db, now=world.now) == 2
    with pytest.raises(ConflictError):
        await world.change(schedule, enabled=True)
    other = await world.worker()
    moved = await world.change(schedule, worker_id=other.id, enabled=True)
    assert (moved.worker_id, moved.next_run_at) == (other.id, world.now + MINUTE)


async def test_deleting_is_for_good_and_leaves_the_jobs(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    world.forward(60)
    await world.fire()
    await world.schedules.delete(world.caller(), schedule.id)
    for attempt in (world.again(schedule), world.schedules.delete(world.caller(), schedule.id)):
        with pytest.raises(NotFoundError):
            await attempt
    assert await world.db.fetchval("SELECT count(*) FROM ticks") == 0
    (job,) = await world.jobs_made()
    assert job.schedule_id == schedule.id
    world.forward(60)
    assert (await world.fire()).schedules == 0


async def test_another_tenants_schedule_does_not_exist(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    with pytest.raises(NotFoundError):
        await world.schedules.get("ten_b", schedule.id)
    with pytest.raises(NotFoundError):
        await world.schedules.delete(world.caller("ten_b"), schedule.id)
    with pytest.raises(NotFoundError):
        await world.schedules.ticks("ten_b", schedule.id, None, PageRequest())
    with pytest.raises(NotFoundError):
        await world.schedules.get("ten_a", ScheduleId(fresh_schedule_id(START)))


async def test_lists_are_filtered_and_paged(world: ScheduleWorld) -> None:
    worker, other = await world.worker(), await world.worker()
    made = [await world.schedule(worker, name=f"Digest {n}", enabled=n % 2 == 0) for n in range(5)]
    await world.schedule(other)

    async def ids(which: ScheduleFilter, page: PageRequest) -> list[str]:
        return [one.id for one in (await world.schedules.list("ten_a", which, page)).rows]

    of_worker = ScheduleFilter(worker_id=worker.id)
    assert await ids(of_worker, PageRequest()) == [one.id for one in made[::-1]]
    assert await ids(of_worker, PageRequest(per_page=2, page=2)) == [made[2].id, made[1].id]
    assert await ids(of_worker, PageRequest(per_page=2, after_id=made[2].id)) == [made[1].id, made[0].id]
    assert await ids(ScheduleFilter(worker_id=worker.id, enabled=False), PageRequest()) == [
        made[3].id,
        made[1].id,
    ]
    assert await ids(ScheduleFilter(name_contains="gest 4"), PageRequest()) == [made[4].id]
    listing = await world.schedules.list("ten_a", ScheduleFilter(), PageRequest(per_page=1))
    assert (listing.total, listing.has_more) == (6, True)


async def test_ticks_are_paged_by_number_and_by_cursor(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    for _ in range(5):
        world.forward(60)
        await world.fire()
    first = await world.schedules.ticks("ten_a", schedule.id, None, PageRequest(per_page=2))
    assert [f"{tick.scheduled_for:%M}" for tick in first.rows] == ["05", "04"]
    assert (first.total, first.has_more) == (5, True)
    page = PageRequest(per_page=2, after_id=first.next_id)
    second = await world.schedules.ticks("ten_a", schedule.id, None, page)
    assert [f"{tick.scheduled_for:%M}" for tick in second.rows] == ["03", "02"]
    none = await world.schedules.ticks("ten_a", schedule.id, TickStatus.MISSED, PageRequest())
    assert (none.rows, none.total) == ([], 0)


async def test_old_ticks_are_forgotten_in_steps(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    for _ in range(5):
        world.forward(60)
        await world.fire()
    assert await prune_ticks(world.db, before=world.now, limit=3) == 3
    assert await prune_ticks(world.db, before=world.now, limit=3) == 1
    assert [f"{tick.scheduled_for:%M}" for tick in await world.ticks(schedule)] == ["05"]


async def test_newer_zone_rules_move_the_ticks_that_are_to_come(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="0 9 * * *", timezone="Europe/Berlin")
    due = await world.schedule(cron="1 12 * * *", timezone="UTC")
    expected = schedule.next_run_at
    # as an older release left it, whose rules had Berlin an hour ahead
    await world.db.execute(
        "UPDATE schedules SET zone_rules = 'old', next_run_at = next_run_at - interval '1 hour',"
        " due_at = due_at - interval '1 hour' WHERE id = $1",
        schedule.id,
    )
    await world.db.execute("UPDATE schedules SET zone_rules = 'old' WHERE id = $1", due.id)
    world.forward(60)
    assert await outdated_ids(world.db, now=world.now) == [schedule.id]
    assert await refresh_cursors(world.db, [schedule.id, due.id], now=world.now) == 1
    assert (await world.again(schedule)).next_run_at == expected
    assert await outdated_ids(world.db, now=world.now) == []
    assert (await world.fire()).fired == 1, "what was due stays due"


async def test_a_zone_that_newer_rules_know_no_more_does_not_stop_the_scheduler(world: ScheduleWorld) -> None:
    schedule = await world.schedule()
    await world.db.execute("UPDATE schedules SET zone_rules = 'old', timezone = 'Mars/Base'")
    assert await refresh_cursors(world.db, [schedule.id], now=world.now) == 1
    assert await outdated_ids(world.db, now=world.now) == []
    world.forward(60)
    await world.fire()
    assert await world.outcomes(schedule) == [("12:01:00", "skipped", "schedule_broken")]
    with pytest.raises(ConflictError):
        await world.schedules.preview("ten_a", schedule.id, 1)
    with pytest.raises(ConflictError):
        await world.change(schedule, enabled=True)
    mended = await world.change(schedule, enabled=True, timezone="UTC")
    assert mended.next_run_at == world.now + MINUTE


async def test_a_preview_tells_what_the_clock_does(world: ScheduleWorld) -> None:
    schedule = await world.schedule(cron="30 2 29,30 3 *", timezone="Europe/Berlin", enabled=False)
    preview = await world.schedules.preview("ten_a", schedule.id, 2)
    assert [(f"{f.at:%d %H:%M}", f.skipped) for f in preview.firings] == [
        ("29 01:00", True),
        ("30 00:30", False),
    ]
    assert len((await world.schedules.preview_of("0 0 29 2 *", "UTC", 20)).firings) > 10
