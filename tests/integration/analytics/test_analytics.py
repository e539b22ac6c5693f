"""Reports: exact at every moment, whatever ended the jobs, folded or not."""

from datetime import timedelta

import msgspec
import pytest

from runwright.analytics.queues import QueueDepth, Queues
from runwright.analytics.reports import Analytics, JobReport, Totals
from runwright.analytics.rollup import fold_counts, prune_counts
from runwright.analytics.worker_totals import WorkerOrder
from runwright.core.errors import NotFoundError
from runwright.core.job_state import JobStatus, Trigger
from runwright.core.paging import PageRequest
from runwright.job_views.model import JobFilter
from tests.integration.jobs.world import World


async def report(
    world: World, *, days: int = 30, tenant: str = "ten_a", worker: str | None = None
) -> JobReport:
    return await Analytics(world.db, clock=world.clock).report(tenant, days=days, worker_id=worker)


async def test_every_way_to_end_is_counted_once(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    for _ in range(4):
        await world.job(worker)
    claimed = await world.claim(capacity=3)
    await world.finish(world.end_of(claimed[0]), world.end_of(claimed[1], JobStatus.FAILED))
    waiting = await world.job_views.list(
        "ten_a", JobFilter(statuses=frozenset({JobStatus.QUEUED})), PageRequest()
    )
    await world.jobs.cancel(world.caller(), waiting.rows[0].id)
    await world.lose()  # the third fails: its executor is gone
    for _ in range(2):  # before and after folding
        jobs = (await report(world)).jobs
        assert (jobs.total, jobs.completed, jobs.failed, jobs.cancelled) == (4, 1, 2, 1)
        assert jobs.failures_by_code == {"executor_lost": 1, "handler_error": 1}
        assert jobs.success_rate == 25.0
        await fold_counts(world.db, limit=100)
    assert await world.db.fetchval("SELECT count(*) FROM job_count_deltas") == 0
    await world.assert_whole()


async def test_a_result_that_is_refused_is_not_counted(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    await world.job(worker)
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed))
    await world.finish(world.end_of(claimed))
    assert (await report(world)).jobs.total == 1


async def test_a_retry_is_not_an_end(world: World) -> None:
    worker = await world.worker(max_retries=1)
    await world.executor()
    await world.job(worker)
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed, JobStatus.FAILED, retry_in=1))
    assert (await report(world)).jobs.total == 0


async def test_durations_are_of_what_ran(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    for ms in (10, 20, 30):
        await world.job(worker)
        [claimed] = await world.claim()
        ending = world.end_of(claimed)
        world.forward(ms / 1000)
        await world.finish(msgspec.structs.replace(ending, ended_at=world.now))
    for _ in range(2):
        jobs = (await report(world)).jobs
        assert (jobs.avg_duration_ms, jobs.p50_duration_ms, jobs.p99_duration_ms) == (20, 20, 30)
        await fold_counts(world.db, limit=2)


async def test_rates_and_averages_are_of_the_jobs_that_they_are_about(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    nothing = (await report(world)).jobs
    assert (nothing.total, nothing.success_rate, nothing.avg_duration_ms) == (0, None, None)
    for _ in range(4):
        await world.job(worker)
    attempts = await world.claim(capacity=3)
    statuses = (JobStatus.COMPLETED, JobStatus.COMPLETED, JobStatus.FAILED)
    ends = [world.end_of(attempt, status) for attempt, status in zip(attempts, statuses, strict=True)]
    world.forward(1)
    await world.finish(*[msgspec.structs.replace(end, ended_at=world.now) for end in ends])
    jobs = (await report(world)).jobs
    assert (jobs.success_rate, jobs.avg_duration_ms) == (66.7, 1_000)
    [queued] = (
        await world.job_views.list("ten_a", JobFilter(statuses=frozenset({JobStatus.QUEUED})), PageRequest())
    ).rows
    await world.jobs.cancel(world.caller(), queued.id)  # it never ran, so it has no duration
    found = await report(world, days=2)
    assert (found.jobs.success_rate, found.jobs.avg_duration_ms) == (50.0, 1_000)
    assert found.period_days == 2
    assert [(day.date, day.success_rate) for day in found.by_day] == [
        (world.now.date() - timedelta(days=1), None),
        (world.now.date(), 50.0),
    ]
    assert found.by_worker[worker.id].avg_duration_ms == 1_000
    assert found.since == world.now.replace(hour=0, minute=0, second=0) - timedelta(days=1)


async def test_jobs_count_by_trigger_worker_and_day(world: World) -> None:
    one, other = await world.worker(), await world.worker()
    await world.executor()
    await world.jobs.submit(world.submission(one.id, trigger=Trigger.WEBHOOK))
    await world.finish(*[world.end_of(job) for job in await world.claim()])
    world.forward(timedelta(days=1).total_seconds())
    await world.jobs.submit(world.submission(other.id))
    await world.finish(*[world.end_of(job) for job in await world.claim()])
    found = await report(world, days=3)
    assert found.jobs.by_trigger == {"manual": 1, "webhook": 1, "scheduled": 0, "event": 0}
    assert {worker: totals.total for worker, totals in found.by_worker.items()} == {one.id: 1, other.id: 1}
    assert [day.total for day in found.by_day] == [0, 1, 1]
    assert (await report(world, days=1)).jobs.total == 1
    assert (await report(world, worker=one.id)).jobs.total == 1
    assert (await report(world, tenant="ten_b")).jobs.total == 0


async def test_a_strangers_worker_has_no_report(world: World) -> None:
    worker = await world.worker("ten_b")
    with pytest.raises(NotFoundError):
        await report(world, worker=worker.id)
    with pytest.raises(NotFoundError):
        await Queues(world.db, clock=world.clock).depth("ten_a", worker.id)


async def test_sums_that_no_report_reaches_are_forgotten(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    await world.job(worker)
    await world.finish(*[world.end_of(job) for job in await world.claim()])
    await fold_counts(world.db, limit=100)
    today = world.now.date()
    assert await prune_counts(world.db, before=today, limit=10) == 0
    assert await prune_counts(world.db, before=today + timedelta(days=1), limit=10) == 2
    assert (await report(world)).jobs.total == 0


async def test_queues_count_what_waits_and_runs(world: World) -> None:
    worker, idle = await world.worker(), await world.worker()
    await world.executor()
    for priority in (1, 3, 4, 10):
        await world.job(worker, priority=priority)
    await world.job(worker, scheduled_at=world.now + timedelta(hours=1))
    await world.claim(capacity=1)
    queues = Queues(world.db, clock=world.clock)
    snapshot = await queues.snapshot("ten_a")
    assert (snapshot.total_queued, snapshot.total_running) == (4, 1)
    assert snapshot.by_worker == [QueueDepth(worker.id, 4, 1, 1)]
    assert await queues.depth("ten_a", idle.id) == QueueDepth(idle.id, 0, 0, 0)
    assert (await queues.snapshot("ten_b")).by_worker == []


async def test_workers_are_reported_in_one_statement_as_each_of_them_alone(world: World) -> None:
    busy, calm = await world.worker(max_concurrency=1), await world.worker()
    await world.executor()
    for worker, count in ((busy, 3), (calm, 1)):
        for _ in range(count):
            await world.job(worker)
    due = world.now
    for ms, attempt in zip((10, 20_000), await world.claim(capacity=2), strict=True):
        world.forward(ms / 1000)
        await world.finish(msgspec.structs.replace(world.end_of(attempt), ended_at=world.now))
    queues = Queues(world.db, clock=world.clock)
    for _ in range(2):  # before and after folding
        found = await Analytics(world.db, clock=world.clock).by_worker(
            "ten_a", await queues.snapshot("ten_a"), days=7, order=WorkerOrder.QUEUED, limit=10
        )
        for one in found.workers:
            alone = (await report(world, days=7, worker=one.worker_id)).jobs
            for name in (*Totals.__struct_fields__, "p50_duration_ms", "p95_duration_ms", "p99_duration_ms"):
                assert getattr(one, name) == getattr(alone, name), name
        assert [(one.worker_id, one.queued, one.oldest_due_at) for one in found.workers] == [
            (busy.id, 2, due),
            (calm.id, 0, None),
        ]
        assert [one.max_concurrency for one in found.workers] == [1, None]
        await fold_counts(world.db, limit=100)
