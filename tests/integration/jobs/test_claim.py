"""Who runs next."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from runwright.core.job_state import JobStatus
from runwright.job_views.service import JobViews
from runwright.jobs.store.claim import QUEUE_WINDOW, TENANT_WINDOW, QueueCursor, claim_jobs
from runwright.leases.store import expire_lease
from runwright.runtimes.pool.settings import PoolCapacity
from runwright.workers.model import WorkerChanges, WorkerStatus
from tests.integration.jobs.world import EXECUTOR, World

if TYPE_CHECKING:
    from runwright.db.pool import Pool


async def test_a_higher_priority_runs_first_then_the_older_job(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    low = await world.job(worker, priority=9)
    first = await world.job(worker, priority=2)
    world.forward(1)
    second = await world.job(worker, priority=2)
    urgent = await world.job(worker, priority=1)
    claimed = [job.job_id for job in await world.claim()]
    assert claimed == [urgent.id, first.id, second.id, low.id]


async def test_a_low_priority_that_waited_long_enough_runs_before_a_new_high_one(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    old = await world.job(worker, priority=10)
    world.forward(timedelta(hours=2).total_seconds())
    new = await world.job(worker, priority=1)
    assert [job.job_id for job in await world.claim()] == [old.id, new.id]


async def test_a_flood_of_one_tenant_waits_behind_the_first_job_of_another(world: World) -> None:
    flood, calm = await world.worker("ten_flood"), await world.worker("ten_calm")
    await world.executor()
    for _ in range(30):
        await world.job(flood, priority=1)
    world.forward(60)
    late = await world.job(calm, priority=10)
    claim = await world.claim_all(capacity=2)
    assert late.id in {job.job_id for job in claim.attempts}


async def test_with_one_slot_tenants_take_turns_by_what_they_used(world: World) -> None:
    flood, calm = await world.worker("ten_flood"), await world.worker("ten_calm")
    await world.executor()
    for _ in range(5):
        await world.job(flood)
    world.forward(1)
    late = await world.job(calm)
    claim = await world.claim_all(capacity=1, used={"ten_flood": 1.0})
    assert [job.job_id for job in claim.attempts] == [late.id]


async def test_max_concurrency_holds_for_one_executor_and_is_freed_by_the_end_of_a_job(world: World) -> None:
    worker = await world.worker(max_concurrency=2)
    await world.executor()
    for _ in range(5):
        await world.job(worker)
    running = await world.claim()
    assert len(running) == 2
    assert await world.claim() == []
    await world.finish(world.end_of(running[0]))
    assert len(await world.claim()) == 1


async def test_max_concurrency_holds_between_executors_that_claim_at_once(world: World) -> None:
    worker = await world.worker(max_concurrency=3)
    executors = [await world.executor(f"exe_{n}") for n in range(6)]
    for _ in range(20):
        await world.job(worker)
    for _ in range(5):
        claims = await asyncio.gather(*(world.claim(executor) for executor in executors))
        running = [(job, executor) for jobs, executor in zip(claims, executors, strict=True) for job in jobs]
        assert len(running) <= 3
        for job, executor in running:
            await world.finish(world.end_of(job), executor_id=executor)


async def test_executors_that_claim_at_once_never_share_a_job(world: World) -> None:
    workers = [await world.worker(f"ten_{n}") for n in range(3)]
    executors = [await world.executor(f"exe_{n}") for n in range(5)]
    submitted = {(await world.job(worker)).id for worker in workers for _ in range(40)}
    seen: list[str] = []
    while len(seen) < len(submitted):
        for jobs in await asyncio.gather(*(world.claim(executor, capacity=7) for executor in executors)):
            seen += [job.job_id for job in jobs]
    assert sorted(seen) == sorted(submitted)


async def test_jobs_of_a_paused_worker_wait_until_it_is_active_again(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    await world.job(worker)
    await world.workers.change(world.caller(), worker.id, WorkerChanges(status=WorkerStatus.PAUSED))
    assert await world.claim() == []
    await world.workers.change(world.caller(), worker.id, WorkerChanges(status=WorkerStatus.ACTIVE))
    assert len(await world.claim()) == 1


async def test_an_executor_is_not_given_a_runtime_that_it_lacks(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    await world.job(worker)
    assert (await world.claim_all(runtimes=("nodejs",))).attempts == []


async def test_an_executor_without_a_living_lease_gets_nothing(world: World) -> None:
    worker = await world.worker()
    await world.job(worker)
    assert await world.claim("exe_unknown") == []
    await world.executor()
    await expire_lease(world.db, executor_id="exe_a")
    assert await world.claim() == []


async def test_a_scheduled_job_is_claimable_only_when_its_time_has_come(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    due = world.now + timedelta(seconds=30)
    job = await world.job(worker, scheduled_at=due)
    assert await world.promote() == (0, due)
    assert await world.claim() == []
    world.forward(30)
    assert await world.promote() == (1, None)
    assert [claimed.job_id for claimed in await world.claim()] == [job.id]


async def test_a_fast_worker_gets_its_extra_room_and_others_only_the_free_slots(world: World) -> None:
    fast, slow = await world.worker(), await world.worker()
    await world.executor()
    for _ in range(10):
        await world.job(fast)
        await world.job(slow)
    claim = await world.claim_all(capacity=2, fast={fast.id: 5})
    of_slow = [job for job in claim.attempts if job.worker_id == slow.id]
    assert len(claim.attempts) == 7
    assert len(of_slow) <= 2
    none_free = await world.claim_all(capacity=0, fast={fast.id: 1})
    assert [job.worker_id for job in none_free.attempts] == [fast.id]


async def test_newcomers_are_first_and_take_slots_that_nobody_else_may(world: World) -> None:
    await world.executor()
    for tenant in ("ten_a", "ten_b", "ten_c", "ten_d"):
        worker = await world.worker(tenant)
        for _ in range(5):
            await world.job(worker, priority=1 if tenant == "ten_a" else 9)
    holding = {"ten_a": 3}
    full = await world.claim_all(capacity=0, newcomers=2, holding=holding)
    assert Counter(one.tenant_id for one in full.attempts) == {"ten_b": 1, "ten_c": 1}
    one_free = await world.claim_all(capacity=1, newcomers=2, holding=holding | {"ten_b": 1, "ten_c": 1})
    assert [one.tenant_id for one in one_free.attempts] == ["ten_d"], "it takes the free slot, too"


async def test_who_holds_the_most_slots_is_served_last(world: World) -> None:
    await world.executor()
    for tenant in ("ten_a", "ten_b"):
        worker = await world.worker(tenant)
        for _ in range(9):
            await world.job(worker)
    claim = await world.claim_all(capacity=4, holding={"ten_a": 5, "ten_b": 2})
    assert Counter(one.tenant_id for one in claim.attempts) == {"ten_a": 1, "ten_b": 3} or Counter(
        one.tenant_id for one in claim.attempts
    ) == {"ten_b": 4}


async def test_however_many_executors_there_are_a_claim_takes_no_more_than_fits(world: World) -> None:
    for n in range(9):
        await world.executor(f"exe_{n}")
    worker, fast = await world.worker("ten_a"), await world.worker("ten_a")
    for _ in range(30):
        await world.job(worker)
        await world.job(fast)
    claim = await world.claim_all("exe_0", capacity=1, newcomers=5, holding={"ten_a": 3})
    assert len(claim.attempts) == 1
    claim = await world.claim_all("exe_0", capacity=2, fast={fast.id: 3}, newcomers=9, holding={"ten_a": 3})
    by_worker = Counter(one.worker_id for one in claim.attempts)
    assert by_worker[worker.id] <= 2
    assert by_worker[worker.id] + max(0, by_worker[fast.id] - 3) <= 2


async def test_more_tenants_than_one_window_are_all_served_by_following_the_cursor(world: World) -> None:
    await world.executor()
    for n in range(TENANT_WINDOW + 5):
        await world.job(await world.worker(f"ten_{n:04}"))
    first = await world.claim_all(capacity=1000)
    assert first.cursor.tenant == f"ten_{TENANT_WINDOW - 1:04}"
    second = await world.claim_all(capacity=1000, cursor=first.cursor)
    assert second.cursor == QueueCursor()
    assert len(first.attempts) + len(second.attempts) == TENANT_WINDOW + 5


async def test_a_tenant_with_more_queues_than_one_window_hides_no_other_tenant(world: World) -> None:
    await world.executor()
    for _ in range(QUEUE_WINDOW + 5):
        await world.job(await world.worker("ten_a"))
    late = await world.job(await world.worker("ten_b"))
    first = await world.claim_all(capacity=1000)
    assert late.id in {attempt.job_id for attempt in first.attempts}
    assert list(first.cursor.workers) == ["ten_a"]
    second = await world.claim_all(capacity=1000, cursor=first.cursor)
    assert second.cursor == QueueCursor()
    assert len(first.attempts) + len(second.attempts) == QUEUE_WINDOW + 6


async def test_a_claim_takes_the_code_that_is_current_then(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    job = await world.job(worker)
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="y"))
    (claimed,) = await world.claim()
    assert claimed.worker_version == 2
    running = await world.jobs.get("ten_a", job.id)
    assert (running.status, running.worker_version) == (JobStatus.RUNNING, 2)


async def test_max_concurrency_holds_though_the_other_claim_is_not_visible_yet(world: World) -> None:
    worker = await world.worker(max_concurrency=2)
    await world.executor("exe_a")
    await world.executor("exe_b")
    for _ in range(2):
        await world.job(worker, priority=9)
    async with world.db.acquire() as connection, connection.transaction():
        first = await World(cast("Pool", connection)).claim("exe_a")
        for _ in range(2):
            await world.job(worker, priority=1)  # other rows than those of the first claim, and before them
        second = asyncio.create_task(world.claim("exe_b"))
        while not second.done() and not await _waits_for_a_lock(world):  # noqa: ASYNC110  a lock notifications nothing
            await asyncio.sleep(0)
    assert len(first) == 2
    assert await second == []


async def _waits_for_a_lock(world: World) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await world.db.fetchval(waiting))


async def set_running_jobs(world: World, most: int | None, tenant: str = "ten_a") -> None:
    await world.db.execute("UPDATE tenants SET running_jobs = $2 WHERE id = $1", tenant, most)


async def test_a_tenant_runs_no_more_at_once_than_its_quota_over_all_its_workers(world: World) -> None:
    workers = [await world.worker(), await world.worker(), await world.worker(max_concurrency=1)]
    other = await world.worker("ten_b")
    await world.executor()
    jobs = [await world.job(workers[n % 3]) for n in range(9)]
    others = [await world.job(other) for _ in range(9)]
    await set_running_jobs(world, 4)
    claimed = await world.claim(capacity=11)
    mine = [job for job in claimed if job.tenant_id == "ten_a"]
    assert len(mine) == 4
    assert len(claimed) == 11, "a tenant that may run no more takes no room from others"
    assert [job.tenant_id for job in await world.claim()] == ["ten_b"] * 2
    why = await JobViews(
        world.db,
        world.jobs,
        clock=world.clock,
        notifications=world.notifications,
        running_limit_of=lambda _: 4,
    ).explain("ten_a", jobs[-1].id)
    assert "tenant_running_jobs" in [reason.code for reason in why.reasons]
    seen = [job.job_id for job in mine]
    running = mine
    while running:
        await world.finish(world.end_of(running.pop()))
        running += await world.claim()
        assert len(running) <= 4
        seen += [job.job_id for job in running if job.job_id not in seen]
    assert sorted(seen) == sorted(job.id for job in jobs)
    assert len({job.job_id for job in claimed} & {job.id for job in others}) == 7


async def test_places_of_a_quota_come_back_whatever_became_of_the_job(world: World) -> None:
    worker = await world.worker(max_retries=3)
    await world.executor()
    await set_running_jobs(world, 1)
    await world.job(worker)
    await world.job(worker)
    [first] = await world.claim()
    assert await world.claim() == []
    await world.finish(world.end_of(first, JobStatus.FAILED, retry_in=60))
    [second] = await world.claim()
    await world.lose()
    await world.executor("exe_b")
    [again] = await world.claim("exe_b")
    assert again.job_id == second.job_id
    assert await world.claim("exe_b") == []
    await set_running_jobs(world, None)
    world.forward(60)
    await world.promote()
    assert len(await world.claim("exe_b")) == 1


async def test_executors_at_once_do_not_pass_a_tenants_quota(world: World) -> None:
    worker = await world.worker()
    await set_running_jobs(world, 5)
    executors = [await world.executor(f"exe_{n}") for n in range(6)]
    for _ in range(30):
        await world.job(worker)
    claims = await asyncio.gather(*(world.claim(executor, capacity=4) for executor in executors))
    assert sum(map(len, claims)) == 5
    assert await world.db.fetchval("SELECT count(*) FROM job_queue WHERE state = 'running'") == 5


async def test_a_quota_for_all_holds_where_a_tenant_has_none_of_its_own(world: World) -> None:
    for tenant in ("ten_a", "ten_b", "ten_c"):
        worker = await world.worker(tenant)
        for _ in range(5):
            await world.job(worker)
    await world.db.execute("DELETE FROM tenants WHERE id = 'ten_c'")
    await set_running_jobs(world, 3)
    await world.executor()
    claimed = await claim_jobs(
        world.db,
        now=world.now,
        executor_id=EXECUTOR,
        capacity=PoolCapacity(100, {}),
        runtimes=("python",),
        limit=256,
        cursor=QueueCursor(),
        used={},
        tenant_running=2,
    )
    assert Counter(job.tenant_id for job in claimed.attempts) == {"ten_a": 3, "ten_b": 2, "ten_c": 2}
