"""What a dead executor leaves is neither lost nor run twice without consent."""

from runwright.core.job_state import ErrorCode, JobStatus
from runwright.leases.store import (
    cancel_requests,
    check_leases,
    expire_lease,
    fetch_hand_backs,
    remove_executor,
    renew_lease,
    rescue_expired,
)
from tests.integration.jobs.world import EXECUTOR, World


async def test_jobs_of_a_living_executor_are_left_alone(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    await world.claim()
    assert await world.rescue() == []
    assert await world.status(job) is JobStatus.RUNNING


async def test_an_attempt_that_had_begun_fails_when_no_retry_is_left(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=0))
    await world.claim()
    assert await world.lose() == [(job.id, "failed")]
    ended = await world.jobs.get("ten_a", job.id)
    assert ended.error is not None
    assert ended.error.code is ErrorCode.EXECUTOR_LOST
    await world.assert_whole()


async def test_an_attempt_with_retries_left_goes_back_at_once_and_is_remembered(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=2))
    await world.claim()
    assert await world.lose() == [(job.id, "queued")]
    (attempt,) = await world.job_views.attempts("ten_a", job.id)
    assert (attempt.attempt, attempt.executor_id) == (1, EXECUTOR)
    assert attempt.error is not None
    assert attempt.error.code is ErrorCode.EXECUTOR_LOST


async def test_a_job_that_was_to_be_cancelled_ends_cancelled(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=2))
    await world.claim()
    await world.jobs.cancel(world.caller(), job.id)
    assert await world.lose() == [(job.id, "cancelled")]


async def test_jobs_of_an_executor_without_a_record_are_rescued_too(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    await world.claim()
    await world.db.execute("DELETE FROM executors")
    assert await world.rescue() == [(job.id, "failed")]


async def test_a_lost_lease_cannot_be_renewed_and_its_record_goes(world: World) -> None:
    await world.executor()
    assert await renew_lease(world.db, executor_id=EXECUTOR, lease_seconds=60, draining=False)
    await world.lose()
    assert not await renew_lease(world.db, executor_id=EXECUTOR, lease_seconds=60, draining=False)
    assert await world.db.fetchval("SELECT count(*) FROM executors") == 0


async def test_an_executor_that_holds_jobs_is_not_removed(world: World) -> None:
    await world.executor()
    await world.job(await world.worker())
    (claimed,) = await world.claim()
    await remove_executor(world.db, executor_id=EXECUTOR)
    assert await world.db.fetchval("SELECT count(*) FROM executors") == 1
    await world.finish(world.end_of(claimed))
    await remove_executor(world.db, executor_id=EXECUTOR)
    assert await world.db.fetchval("SELECT count(*) FROM executors") == 0


async def test_a_slot_of_a_limited_worker_is_freed_by_a_rescue(world: World) -> None:
    await world.executor()
    worker = await world.worker(max_concurrency=1, max_retries=1)
    await world.job(worker)
    await world.claim()
    await world.lose()
    await world.executor("exe_b")
    assert len(await world.claim("exe_b")) == 1


async def test_a_rescue_that_was_held_up_rescues_nothing(world: World) -> None:
    """While the database hung nobody could renew; the statement says until when it is meant."""
    await world.executor()
    job = await world.job(await world.worker())
    await world.claim()
    await expire_lease(world.db, executor_id=EXECUTOR)
    late = (await check_leases(world.db)).at
    assert await rescue_expired(world.db, now=world.now, before=late) == []
    assert await world.status(job) is JobStatus.RUNNING
    assert await world.rescue() == [(job.id, "failed")]


async def test_an_executor_finds_the_jobs_that_it_has_and_hands_them_back(world: World) -> None:
    await world.executor()
    await world.executor("exe_b")
    worker = await world.worker()
    await world.job(worker)
    [attempt] = await world.claim()
    await world.job(worker)
    await world.claim("exe_b")
    await world.job(worker)  # which nobody has
    ends = await fetch_hand_backs(world.db, executor_id=EXECUTOR, now=world.now)
    assert ends == [world.hand_back(attempt)]
    assert await world.finish(*ends) == [JobStatus.QUEUED]
    assert await fetch_hand_backs(world.db, executor_id=EXECUTOR, now=world.now) == []


async def test_an_executor_reads_the_cancels_of_its_running_jobs(world: World) -> None:
    await world.executor()
    await world.executor("exe_b")
    worker = await world.worker()
    jobs = [await world.job(worker) for _ in range(3)]
    claimed = await world.claim(capacity=2)
    await world.claim("exe_b")
    assert await cancel_requests(world.db, executor_id=EXECUTOR) == []
    for job in (jobs[0], jobs[2]):
        await world.jobs.cancel(world.caller(), job.id)
    assert await cancel_requests(world.db, executor_id=EXECUTOR) == [(jobs[0].id, claimed[0].fence)]
    await world.finish(world.end_of(claimed[0]))
    assert await cancel_requests(world.db, executor_id=EXECUTOR) == []


async def test_an_attempt_that_began_by_a_clock_of_long_ago_is_rescued(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=0))
    await world.claim()
    await world.db.execute("UPDATE job_queue SET started_at = '1970-01-01Z'")
    assert await world.lose() == [(job.id, "failed")]
    assert await world.db.fetchval("SELECT duration_ms FROM job_results") == 2**31 - 1
    await world.assert_whole()
