"""Retention: what is old and over goes, all of it; what is young or alive stays."""

from datetime import timedelta

from runwright.core.ids import JobId
from runwright.jobs.store.finish import append_logs
from runwright.jobs.store.prune import prune_jobs, prune_logs
from runwright.workers.model import Worker
from tests.integration.jobs.world import EXECUTOR, World

TABLES = ("jobs", "job_results", "job_attempts", "job_log_chunks")
DAY = timedelta(days=1).total_seconds()


async def run_one(world: World, worker: Worker) -> JobId:
    """A job that failed once, then completed, with a line of each attempt."""
    job = await world.job(worker)
    [first] = await world.claim()
    await append_logs(world.db, executor_id=EXECUTOR, chunks=[world.chunk(first, "one")])
    await world.finish(world.end_of(first, retry_in=0))
    await world.promote()
    [second] = await world.claim()
    await world.finish(world.end_of(second, log=world.chunk(second, "two")))
    return job.id


async def counts(world: World) -> list[int]:
    return [await world.db.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]


async def test_an_old_job_goes_whole_and_a_young_one_stays(world: World) -> None:
    worker = await world.worker(max_retries=1)
    await world.executor()
    old = await run_one(world, worker)
    world.forward(10 * DAY)
    young = await run_one(world, worker)
    assert await counts(world) == [2, 2, 2, 4]
    assert await prune_jobs(world.db, before=world.now - timedelta(days=10), limit=10) == 0
    assert await prune_jobs(world.db, before=world.now - timedelta(days=9), limit=10) == 1
    assert await counts(world) == [1, 1, 1, 2]
    assert (await world.jobs.get("ten_a", young)).id == young
    assert await world.db.fetchval("SELECT count(*) FROM jobs WHERE id = $1", old) == 0


async def test_age_counts_from_the_end(world: World) -> None:
    worker = await world.worker()
    await world.executor()
    job = await world.job(worker)
    world.forward(10 * DAY)
    before = world.now - timedelta(days=1)
    assert await prune_jobs(world.db, before=before, limit=10) == 0, "it still waits"
    await world.finish(*[world.end_of(claimed) for claimed in await world.claim()])
    assert await prune_jobs(world.db, before=before, limit=10) == 0, "it ended just now"
    assert (await world.jobs.get("ten_a", job.id)).id == job.id


async def test_a_step_is_bounded_and_takes_the_oldest_first(world: World) -> None:
    worker = await world.worker(max_retries=1)
    await world.executor()
    ids = []
    for _ in range(5):
        ids.append(await run_one(world, worker))
        world.forward(1)
    world.forward(DAY)
    assert await prune_jobs(world.db, before=world.now, limit=2) == 2
    left = await world.db.fetch("SELECT id FROM jobs ORDER BY id")
    assert [row[0] for row in left] == ids[2:]
    assert await prune_jobs(world.db, before=world.now, limit=10) == 3
    assert await counts(world) == [0, 0, 0, 0]


async def test_logs_go_before_their_jobs(world: World) -> None:
    worker = await world.worker(max_retries=1)
    await world.executor()
    job = await run_one(world, worker)
    running = await world.job(worker)
    [claimed] = await world.claim()
    await append_logs(world.db, executor_id=EXECUTOR, chunks=[world.chunk(claimed, "still here")])
    world.forward(DAY)
    assert await prune_logs(world.db, before=world.now, limit=1) == 1
    assert await prune_logs(world.db, before=world.now, limit=10) == 1
    assert (await world.job_views.logs("ten_a", job, level=None, limit=10, after=None)).logs == []
    kept = await world.job_views.logs("ten_a", running.id, level=None, limit=10, after=None)
    assert [line.msg for line in kept.logs] == ["still here"]
