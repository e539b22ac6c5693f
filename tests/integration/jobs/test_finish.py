"""How attempts end."""

from datetime import timedelta

import msgspec
import pytest

from runwright.core.job_state import ErrorCode, JobStatus
from runwright.jobs.store.finish import append_logs
from tests.integration.jobs.world import EXECUTOR, World


async def test_a_result_is_stored_once_and_a_late_one_is_refused(world: World) -> None:
    await world.executor()
    await world.job(await world.worker())
    (job,) = await world.claim()
    assert await world.finish(world.end_of(job)) == [JobStatus.COMPLETED]
    assert await world.finish(world.end_of(job, JobStatus.FAILED)) == [None]
    assert await world.status(job) is JobStatus.COMPLETED
    await world.assert_whole()


async def test_a_result_of_an_attempt_that_was_rescued_is_refused(world: World) -> None:
    await world.executor()
    await world.executor("exe_b")
    await world.job(await world.worker(max_retries=1))
    (old,) = await world.claim()
    assert await world.lose() == [(old.job_id, "queued")]
    (new,) = await world.claim("exe_b")
    assert (new.attempt, new.fence) == (2, old.fence + 1)
    assert await world.finish(world.end_of(old)) == [None]
    assert await world.status(old) is JobStatus.RUNNING
    assert await world.finish(world.end_of(new), executor_id="exe_b") == [JobStatus.COMPLETED]
    await world.assert_whole()


async def test_a_retry_waits_for_its_back_off_and_keeps_the_error_of_the_attempt(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=1))
    (first,) = await world.claim()
    await world.finish(world.end_of(first, JobStatus.FAILED, retry_in=2))
    waiting = await world.jobs.get("ten_a", job.id)
    assert (waiting.status, waiting.attempt) == (JobStatus.QUEUED, 2)
    assert await world.claim() == []
    world.forward(2)
    await world.promote()
    (second,) = await world.claim()
    assert (second.attempt, second.retries_left) == (2, 0)
    await world.finish(world.end_of(second))
    attempts = await world.job_views.attempts("ten_a", job.id)
    assert [(a.attempt, a.status) for a in attempts] == [(1, "failed"), (2, "completed")]
    assert [a.claimed_at for a in attempts] == [world.now - timedelta(seconds=2), world.now]
    assert attempts[0].error is not None
    assert attempts[0].error.code is ErrorCode.HANDLER_ERROR
    await world.assert_whole()


async def test_a_retry_is_not_granted_beyond_max_retries(world: World) -> None:
    await world.executor()
    await world.job(await world.worker(max_retries=0))
    (job,) = await world.claim()
    assert await world.finish(world.end_of(job, JobStatus.FAILED, retry_in=1)) == [JobStatus.FAILED]


async def test_a_cancel_that_was_asked_for_wins_over_what_the_handler_returned(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=3))
    (claimed,) = await world.claim()
    asked = await world.jobs.cancel(world.caller(), job.id)
    assert (asked.status, asked.cancel_requested_at) == (JobStatus.RUNNING, world.now)
    await world.finish(world.end_of(claimed))
    ended = await world.jobs.get("ten_a", job.id)
    assert (ended.status, bytes(ended.output)) == (JobStatus.CANCELLED, b"null")
    assert ended.error is not None
    assert ended.error.code is ErrorCode.CANCELLED
    await world.assert_whole()


async def test_a_failure_with_retries_left_ends_cancelled_when_a_cancel_was_asked_for(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=3))
    (claimed,) = await world.claim()
    await world.jobs.cancel(world.caller(), job.id)
    await world.finish(world.end_of(claimed, JobStatus.FAILED, retry_in=1))
    assert await world.status(job) is JobStatus.CANCELLED


async def test_a_job_handed_back_is_claimed_again_without_losing_an_attempt(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    (first,) = await world.claim()
    assert await world.finish(world.hand_back(first)) == [JobStatus.QUEUED]
    assert await world.finish(world.hand_back(first)) == [JobStatus.QUEUED]
    assert await world.status(job) is JobStatus.QUEUED
    (second,) = await world.claim()
    assert (second.attempt, second.fence) == (1, first.fence + 1)
    assert await world.finish(world.end_of(first)) == [None]
    assert await world.finish(world.hand_back(first)) == [None]


async def test_a_job_handed_back_after_a_cancel_was_requested_is_cancelled(world: World) -> None:
    await world.executor()
    job, other = [await world.job(await world.worker()) for _ in range(2)]
    first, second = await world.claim()
    await world.jobs.cancel(world.caller(), job.id)
    ends = await world.finish(world.hand_back(first), world.hand_back(second))
    assert ends == [JobStatus.CANCELLED, JobStatus.QUEUED]
    ended = await world.jobs.get("ten_a", job.id)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED)
    assert await world.status(other) is JobStatus.QUEUED
    await world.assert_whole()


async def test_logs_are_stored_for_the_attempt_that_holds_the_job_and_for_no_other(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=1))
    (first,) = await world.claim()
    await append_logs(world.db, executor_id=EXECUTOR, chunks=[world.chunk(first, "one")])
    await world.lose()
    await append_logs(world.db, executor_id=EXECUTOR, chunks=[world.chunk(first, "late", seq=2)])
    await world.executor()
    (second,) = await world.claim()
    await world.finish(world.end_of(second, log=world.chunk(second, "two")))
    logs = await world.job_views.logs("ten_a", job.id, level=None, limit=10, after=None)
    assert [(line.msg, line.attempt) for line in logs.logs] == [("one", 1), ("two", 2)]


async def test_log_pages_join_into_the_whole_log(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    (claimed,) = await world.claim()
    chunks = [world.chunk(claimed, *(f"{n}-{i}" for i in range(7)), seq=n * 7 + 1) for n in range(120)]
    await append_logs(world.db, executor_id=EXECUTOR, chunks=chunks)
    read: list[str] = []
    after: int | None = None
    while True:
        page = await world.job_views.logs("ten_a", job.id, level=None, limit=100, after=after)
        read += [line.msg for line in page.logs]
        if page.next_after is None:
            break
        after = page.next_after
    assert read == [f"{n}-{i}" for n in range(120) for i in range(7)]
    warnings = await world.job_views.logs("ten_a", job.id, level="warn", limit=500, after=None)
    assert warnings.logs == []


async def test_an_end_that_is_sent_again_is_known_as_written(world: World) -> None:
    """The answer of the first try was lost: the rows tell what it has done."""
    await world.executor()
    worker = await world.worker(max_retries=1)
    for _ in range(4):
        await world.job(worker)
    done, failed, back, cancelled = await world.claim()
    await world.jobs.cancel(world.caller(), cancelled.job_id)
    ends = [
        world.end_of(done),
        world.end_of(failed, JobStatus.FAILED, retry_in=5),
        world.hand_back(back),
        world.end_of(cancelled),
    ]
    wanted = [JobStatus.COMPLETED, JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.CANCELLED]
    assert await world.finish(*ends) == wanted
    assert await world.finish(*ends) == wanted
    await world.assert_whole()


async def test_an_end_is_refused_once_the_reaper_has_written_another(world: World) -> None:
    """Its row names the same executor and attempt, but another time."""
    await world.executor()
    await world.job(await world.worker())
    (attempt,) = await world.claim()
    world.forward(1)
    await world.lose()
    assert await world.finish(world.end_of(attempt)) == [None]
    await world.assert_whole()


async def test_the_end_of_an_attempt_counts_until_its_job_is_begun_again(world: World) -> None:
    """The reaper took it for lost and requeued it; the end that came late saves the second run."""
    await world.executor()
    worker = await world.worker(max_retries=1)
    jobs = [await world.job(worker) for _ in range(3)]
    first, failed, again = await world.claim()
    late = [world.end_of(first), world.end_of(failed, JobStatus.FAILED, retry_in=5)]
    world.forward(1)
    await world.lose()
    await world.executor("exe_b")
    assert await world.finish(*late) == [JobStatus.COMPLETED, None]
    assert await world.finish(*late) == [JobStatus.COMPLETED, None]
    ended = await world.jobs.get("ten_a", first.job_id)
    assert (ended.status, ended.attempt, bytes(ended.output)) == (JobStatus.COMPLETED, 1, b'{"a":1}')
    assert len(await world.job_views.attempts("ten_a", first.job_id)) == 1
    begun = {attempt.job_id: attempt for attempt in await world.claim("exe_b")}
    assert set(begun) == {job.id for job in jobs} - {first.job_id}
    assert await world.finish(world.end_of(again)) == [None]
    assert await world.finish(world.end_of(begun[again.job_id]), executor_id="exe_b") == [JobStatus.COMPLETED]
    await world.assert_whole()


@pytest.mark.parametrize(("days", "kept"), [(-400, 0), (20_000, 2**31 - 1), (0, 0), (None, None)])
async def test_a_result_is_stored_though_the_clock_was_set_while_the_job_ran(
    world: World, days: int | None, kept: int | None
) -> None:
    await world.executor()
    await world.job(await world.worker())
    (job,) = await world.claim()
    end = world.end_of(job)
    began = None if days is None else end.ended_at - timedelta(days=days)
    assert await world.finish(msgspec.structs.replace(end, started_at=began)) == [JobStatus.COMPLETED]
    assert await world.db.fetchval("SELECT duration_ms FROM job_results") == kept
    await world.assert_whole()
