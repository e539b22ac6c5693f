"""How jobs come in."""

import asyncio
from datetime import timedelta

import pytest

from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.job_state import JobStatus
from runwright.tenants.idempotency import Idempotency, prune_idempotency_keys
from runwright.workers.model import WorkerChanges, WorkerStatus
from tests.integration.jobs.world import World


async def test_many_submits_at_once_all_arrive_each_with_its_own_input(world: World) -> None:
    worker = await world.worker()
    new = [world.submission(worker.id, input=b'{"n":%d}' % n) for n in range(700)]
    jobs = await asyncio.gather(*(world.jobs.submit(one) for one in new))
    for n in (0, 350, 699):
        job = await world.jobs.get("ten_a", jobs[n].id)
        assert (bytes(job.input), job.status) == (b'{"n":%d}' % n, JobStatus.QUEUED)
    assert [job.id for job in jobs] == [one.id for one in new]
    assert len({job.id for job in jobs}) == 700
    await world.assert_whole()


async def test_a_refused_job_in_a_shared_batch_harms_no_other(world: World) -> None:
    worker = await world.worker()
    foreign = await world.worker("ten_b")
    answers = await asyncio.gather(
        world.jobs.submit(world.submission(worker.id)),
        world.jobs.submit(world.submission(foreign.id)),
        world.jobs.submit(world.submission(worker.id)),
        return_exceptions=True,
    )
    assert [isinstance(answer, NotFoundError) for answer in answers] == [False, True, False]


@pytest.mark.parametrize("status", [WorkerStatus.PAUSED, WorkerStatus.DEPRECATED])
async def test_a_worker_that_is_not_active_takes_no_jobs(world: World, status: WorkerStatus) -> None:
    worker = await world.worker()
    if status is WorkerStatus.PAUSED:
        await world.workers.change(world.caller(), worker.id, WorkerChanges(status=status))
    else:
        await world.workers.deprecate(world.caller(), worker.id)
    with pytest.raises(ConflictError, match=status):
        await world.job(worker)


async def test_deprecating_a_worker_cancels_what_waits_and_lets_run_what_runs(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    running = await world.job(worker, priority=1)
    (claimed,) = await world.claim(capacity=1)
    ready = await world.job(worker)
    waiting = await world.job(worker, scheduled_at=world.now + timedelta(hours=1))
    await world.workers.deprecate(world.caller(), worker.id)
    assert await world.status(ready) is JobStatus.CANCELLED
    assert await world.status(waiting) is JobStatus.CANCELLED
    assert await world.status(running) is JobStatus.RUNNING
    await world.finish(world.end_of(claimed))
    assert await world.status(running) is JobStatus.COMPLETED
    await world.assert_whole()


async def test_submits_racing_with_a_deprecation_leave_no_job_behind(world: World) -> None:
    worker = await world.worker()
    submits = [world.jobs.submit(world.submission(worker.id)) for _ in range(50)]
    await asyncio.gather(*submits, world.workers.deprecate(world.caller(), worker.id), return_exceptions=True)
    assert await world.db.fetchval("SELECT count(*) FROM job_queue") == 0
    await world.assert_whole()


async def test_one_key_and_body_make_one_job_however_many_ask_at_once(world: World) -> None:
    worker = await world.worker()
    key = Idempotency("k", b"digest")
    new = [world.submission(worker.id) for _ in range(20)]
    jobs = await asyncio.gather(*(world.jobs.submit(one, key) for one in new))
    assert len({job.id for job in jobs}) == 1
    assert sum(job.id == one.id for job, one in zip(jobs, new, strict=True)) == 1


async def test_a_key_with_another_body_conflicts_and_of_another_tenant_does_not(world: World) -> None:
    worker, other = await world.worker(), await world.worker("ten_b")
    await world.jobs.submit(world.submission(worker.id), Idempotency("k", b"1"))
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        await world.jobs.submit(world.submission(worker.id), Idempotency("k", b"2"))
    of_other = world.submission(other.id, "ten_b")
    assert (await world.jobs.submit(of_other, Idempotency("k", b"1"))).id == of_other.id


async def test_a_key_is_free_again_after_a_day_and_after_a_refusal(world: World) -> None:
    worker = await world.worker()
    key = Idempotency("k", b"1")
    with pytest.raises(NotFoundError):
        await world.jobs.submit(world.submission("wkr_none"), key)
    first = await world.jobs.submit(world.submission(worker.id), key)
    world.forward(24 * 3600 - 1)
    assert (await world.jobs.submit(world.submission(worker.id), key)).id == first.id
    world.forward(2)
    new = world.submission(worker.id)
    assert (await world.jobs.submit(new, key)).id == new.id != first.id


async def test_only_keys_that_are_over_a_day_old_are_forgotten(world: World) -> None:
    worker = await world.worker()
    await world.jobs.submit(world.submission(worker.id), Idempotency("old", b"1"))
    world.forward(3600)
    await world.jobs.submit(world.submission(worker.id), Idempotency("new", b"1"))
    world.forward(23.5 * 3600)
    assert await prune_idempotency_keys(world.db, now=world.now, limit=10) == 1
    assert await world.db.fetchval("SELECT key FROM idempotency_keys") == "new"


async def test_a_batch_is_all_or_nothing(world: World) -> None:
    worker = await world.worker()
    new = [world.submission(worker.id) for _ in range(3)]
    assert [job.id for job in await world.jobs.submit_batch("ten_a", new)] == [one.id for one in new]
    more = [world.submission(worker_id) for worker_id in (worker.id, worker.id, worker.id, "wkr_none")]
    with pytest.raises(NotFoundError):
        await world.jobs.submit_batch("ten_a", more)
    assert await world.db.fetchval("SELECT count(*) FROM jobs") == 3


async def test_a_batch_with_a_key_is_replayed_whole(world: World) -> None:
    worker = await world.worker()
    key = Idempotency("k", b"1")
    new = [world.submission(worker.id) for _ in range(3)]
    first = await world.jobs.submit_batch("ten_a", new, key)
    again = await world.jobs.submit_batch("ten_a", [world.submission(worker.id) for _ in range(3)], key)
    assert [job.id for job in again] == [job.id for job in first] == [one.id for one in new]


async def test_a_retry_is_a_new_job_that_names_the_old_one(world: World) -> None:
    await world.executor()
    old = await world.job(await world.worker(), priority=3)
    with pytest.raises(ConflictError):
        await world.jobs.retry(world.caller(), old.id)
    (claimed,) = await world.claim()
    await world.finish(world.end_of(claimed, JobStatus.FAILED))
    new = await world.jobs.retry(world.caller(), old.id)
    assert (new.retry_of, new.priority, new.status) == (old.id, 3, JobStatus.QUEUED)
    assert await world.status(old) is JobStatus.FAILED


async def test_cancelling_twice_or_after_the_end_conflicts(world: World) -> None:
    job = await world.job(await world.worker())
    assert (await world.jobs.cancel(world.caller(), job.id)).status is JobStatus.CANCELLED
    with pytest.raises(ConflictError):
        await world.jobs.cancel(world.caller(), job.id)
    with pytest.raises(NotFoundError):
        await world.jobs.cancel(world.caller("ten_b"), job.id)
    await world.assert_whole()


async def test_waiting_ends_with_the_job_or_with_the_time(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    assert (await world.jobs.wait("ten_a", job.id, 0)).status is JobStatus.QUEUED
    waiting = asyncio.create_task(world.jobs.wait("ten_a", job.id, 60))
    (claimed,) = await world.claim()
    await world.finish(world.end_of(claimed))
    world.notifications.receive(f"elsewhere ended {job.id}")
    assert (await waiting).status is JobStatus.COMPLETED
