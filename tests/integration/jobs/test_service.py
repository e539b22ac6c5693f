"""What a request gets: the job as it is, the job when it has ended, or the reason why not."""

import asyncio

import msgspec
import pytest

from runwright.core.errors import ConflictError, NotFoundError, QuotaError
from runwright.core.job_state import ErrorCode, JobStatus, Trigger
from runwright.jobs.model import ClaimedAttempt, Job, JobError
from runwright.jobs.service import Jobs
from runwright.jobs.store.submit import new_submission
from runwright.tenants.idempotency import Idempotency
from runwright.tenants.quotas import Quota
from runwright.workers.model import Worker
from tests.integration.jobs.world import START, World


async def claim_one(world: World) -> ClaimedAttempt:
    """Claim the only job there is."""
    [attempt] = await world.claim()
    return attempt


async def request(world: World, worker: Worker) -> tuple["asyncio.Task[Job]", ClaimedAttempt]:
    """Begin a request that waits for its job, and claim that."""
    ready = asyncio.Event()
    world.notifications.on_ready(lambda _at: ready.set())
    waiting = asyncio.create_task(world.jobs.submit_and_wait(world.submission(worker.id), None, 60))
    await ready.wait()
    return waiting, await claim_one(world)


async def end_elsewhere(
    world: World, attempt: ClaimedAttempt, status: JobStatus = JobStatus.COMPLETED
) -> None:
    """End an attempt as an executor of another process does."""
    await world.finish(world.end_of(attempt, status))
    world.notifications.receive(f"other ended {attempt.job_id}")


async def test_a_request_that_waits_gets_the_end_and_says_that_it_waits(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    waiting, attempt = await request(world, worker)
    assert attempt.awaited is True
    await end_elsewhere(world, attempt)
    job = await waiting
    assert (job.id, job.status, bytes(job.output)) == (attempt.job_id, JobStatus.COMPLETED, b'{"a":1}')
    await world.job(worker)
    assert (await claim_one(world)).awaited is False


async def test_a_request_that_waits_is_given_the_end_of_this_process_without_reading_it(world: World) -> None:
    await world.executor()
    waiting, attempt = await request(world, await world.worker())
    assert world.notifications.job_ended(
        attempt.job_id, world.end_of(attempt)
    )  # which the tables do not know
    assert (await waiting).status is JobStatus.COMPLETED
    assert (await world.jobs.get("ten_a", attempt.job_id)).status is JobStatus.RUNNING


async def test_a_repeated_request_waits_for_the_job_of_the_first(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    key = Idempotency("k", b"digest")
    first = await world.jobs.submit(world.submission(worker.id), key)
    waiting = asyncio.create_task(world.jobs.submit_and_wait(world.submission(worker.id), key, 60))
    attempt = await claim_one(world)
    assert attempt.job_id == first.id
    await end_elsewhere(world, attempt)
    assert (await waiting).id == first.id
    assert (await waiting).status is JobStatus.COMPLETED


async def test_waits_end_with_the_process_and_later_ones_do_not_begin(world: World) -> None:
    await world.executor()
    waiting, attempt = await request(world, await world.worker())
    with world.notifications.watching(attempt.job_id) as watch:
        world.jobs.end_waits()
        assert watch.woken.is_set()
    assert (await waiting).status in {JobStatus.QUEUED, JobStatus.RUNNING}
    assert (await world.jobs.wait("ten_a", attempt.job_id, 600)).status is JobStatus.RUNNING


async def test_what_is_not_there_is_not_found(world: World) -> None:
    others = await world.job(await world.worker("ten_b"))
    for job_id in (others.id, world.submission("wkr_x").id):
        for ask in (
            world.jobs.get("ten_a", job_id),
            world.jobs.wait("ten_a", job_id, 0),
            world.jobs.cancel(world.caller(), job_id),
            world.jobs.retry(world.caller(), job_id),
            world.job_views.attempts("ten_a", job_id),
            world.job_views.logs("ten_a", job_id, level=None, limit=1, after=None),
            world.job_views.tail("ten_a", job_id, level=None, after=0),
            world.job_views.explain("ten_a", job_id),
        ):
            with pytest.raises(NotFoundError, match=f"There is no job {job_id}"):
                await ask
    with pytest.raises(NotFoundError, match=r"There is no worker wkr_x\."):
        await world.jobs.submit(world.submission("wkr_x"))


async def test_a_retry_has_all_that_the_old_job_was_given(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    old = await world.jobs.submit(
        new_submission(
            tenant_id="ten_a",
            worker_id=worker.id,
            input=b'{"a": [1]}',
            trigger=Trigger.SCHEDULED,
            triggered_by="schedule",
            now=START,
            priority=2,
            schedule_id="sch_1",
        )
    )
    await end_elsewhere(world, await claim_one(world), JobStatus.FAILED)
    world.forward(60)
    new = await world.jobs.retry(world.caller(), old.id)
    assert (bytes(new.input), new.trigger, new.priority) == (b'{"a": [1]}', Trigger.SCHEDULED, 2)
    assert (new.worker_id, new.schedule_id, new.retry_of) == (worker.id, "sch_1", old.id)
    assert (new.triggered_by, new.created_at) == ("usr_1", world.now)
    assert new == await world.jobs.get("ten_a", new.id)
    with pytest.raises(ConflictError, match="is still queued"):
        await world.jobs.retry(world.caller(), new.id)


def test_a_job_without_a_priority_of_its_own_is_in_the_middle() -> None:
    bare = new_submission(
        tenant_id="t", worker_id="w", input=b"", trigger=Trigger.MANUAL, triggered_by="u", now=START
    )
    assert (bare.priority, bare.awaited, bare.run_at) == (5, False, START)


async def test_what_was_accepted_is_what_is_read(world: World) -> None:
    worker = await world.worker(max_retries=2)
    later = START.replace(hour=13)
    for job in (
        await world.job(worker),
        await world.job(worker, priority=1, scheduled_at=later),
        *await world.jobs.submit_batch("ten_a", [world.submission(worker.id, input=b"[1]")]),
    ):
        assert job == await world.jobs.get("ten_a", job.id)
        assert (job.status, job.max_retries, job.attempt) == (JobStatus.QUEUED, 2, 1)


async def test_the_executors_are_notified_when_accepted_jobs_may_start(world: World) -> None:
    worker = await world.worker()
    ready: list[object] = []
    world.notifications.on_ready(ready.append)
    later, latest = START.replace(hour=13), START.replace(hour=14)
    await world.job(worker)
    await world.job(worker, scheduled_at=later)
    await world.jobs.submit_batch(
        "ten_a", [world.submission(worker.id, scheduled_at=at) for at in (latest, later)]
    )
    assert ready == [None, later, later]
    world.notifications.stop()


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_cancel_of_a_queued_job_ends_waits_here_and_where_there_may_be_some(
    world: World, awaited: bool
) -> None:
    worker = await world.worker()
    submission = msgspec.structs.replace(world.submission(worker.id), awaited=awaited)
    await world.jobs.submit(submission)
    with world.notifications.watching(submission.id) as watch:
        job = await world.jobs.cancel(world.caller(), submission.id)
        assert watch.woken.is_set()
    assert (job.status, job.cancel_requested_at) == (JobStatus.CANCELLED, world.now)
    assert job.error == JobError(ErrorCode.CANCELLED, "The job was cancelled.")
    announced = [payload for payload in world.sent if "ended" in payload]
    assert announced == ([f"test ended {job.id}"] if awaited else [])
    assert [payload for payload in world.sent if "cancel " in payload] == []


async def test_a_cancel_of_a_running_job_goes_to_its_executor_and_keeps_the_first_time(world: World) -> None:
    executor_id = await world.executor()
    await world.job(await world.worker())
    attempt = await claim_one(world)
    first = await world.jobs.cancel(world.caller(), attempt.job_id)
    world.forward(10)
    again = await world.jobs.cancel(world.caller(), attempt.job_id)
    assert (first.status, first.cancel_requested_at) == (JobStatus.RUNNING, START)
    assert again == first
    assert [payload for payload in world.sent if "cancel" in payload] == [f"test cancel {executor_id}"] * 2
    assert [payload for payload in world.sent if "ended" in payload] == []


async def test_every_cancel_that_did_something_is_in_the_audit_log(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    running = await world.job(worker)
    attempt = await claim_one(world)
    queued = await world.job(worker)
    for job in (queued, running):
        await world.jobs.cancel(world.caller(), job.id)
    await world.finish(world.end_of(attempt))
    for job in (queued, running):
        with pytest.raises(ConflictError, match="already ended"):
            await world.jobs.cancel(world.caller(), job.id)
    actions = await world.db.fetch("SELECT * FROM audit_log WHERE action = 'job.cancel' ORDER BY id")
    assert [row["subject_id"] for row in actions] == [queued.id, running.id]


async def attempts(world: World, job: Job) -> list[tuple[int, JobStatus, int | None, ErrorCode | None]]:
    """Number, status, duration and error of a job's attempts."""
    return [
        (one.attempt, one.status, one.duration_ms, None if one.error is None else one.error.code)
        for one in await world.job_views.attempts("ten_a", job.id)
    ]


async def test_attempts_are_listed_with_the_current_one_last(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=2))
    assert await attempts(world, job) == []
    attempt = await claim_one(world)
    running = [(1, JobStatus.RUNNING, None, None)]
    assert await attempts(world, job) == running
    end = msgspec.structs.replace(world.end_of(attempt, JobStatus.FAILED, retry_in=0), started_at=world.now)
    world.forward(1.5)
    await world.finish(msgspec.structs.replace(end, ended_at=world.now, retry_at=world.now))
    failed = [(1, JobStatus.FAILED, 1_500, ErrorCode.HANDLER_ERROR)]
    assert await attempts(world, job) == failed
    await world.promote()
    attempt = await claim_one(world)
    assert await attempts(world, job) == [*failed, (2, JobStatus.RUNNING, None, None)]
    world.forward(0.25)
    started = world.now
    world.forward(0.25)
    await world.finish(msgspec.structs.replace(world.end_of(attempt), started_at=started))
    assert await attempts(world, job) == [*failed, (2, JobStatus.COMPLETED, 250, None)]
    assert {one.executor_id for one in await world.job_views.attempts("ten_a", job.id)} == {"exe_a"}


async def test_the_quota_is_taken_for_each_job_alone_or_of_a_batch(world: World) -> None:
    async def count(_tenant_id: str, _limit: int) -> int:
        return int(await world.db.fetchval("SELECT count(*) FROM job_queue"))

    quota = Quota("queued_jobs", limit_of=lambda _tenant_id: 3, count=count)
    jobs = Jobs(world.db, clock=world.clock, notifications=world.notifications, quota=quota)
    worker = await world.worker()
    await jobs.submit(world.submission(worker.id))
    with pytest.raises(QuotaError):
        await jobs.submit_batch("ten_a", [world.submission(worker.id) for _ in range(3)])
    assert await count("ten_a", 3) == 1
    for _ in range(2):
        await jobs.submit(world.submission(worker.id))
    with pytest.raises(QuotaError):
        await jobs.submit(world.submission(worker.id))
    await jobs.stop()
    assert await count("ten_a", 3) == 3
