"""Bulk operations: every job once, whatever interrupts them."""

import asyncio
from collections import Counter

import msgspec
import pytest

from runwright.bulk import store
from runwright.bulk.model import BulkAction, BulkOperation, BulkStatus, RetryVersion
from runwright.bulk.service import MOST_RUNNING, PUT_OFF, STEP_JOBS, BulkOperations, BulkSteps
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.job_state import ErrorCode, JobStatus
from runwright.core.paging import PageRequest
from runwright.db.pool import Pool
from runwright.job_views.model import JobFilter
from runwright.jobs.model import Job, JobError
from runwright.jobs.store.claim import promote_due
from runwright.tenants.idempotency import Idempotency
from runwright.tenants.quotas import Quota
from runwright.workers.model import WorkerChanges
from tests.integration.jobs.world import EXECUTOR, World

ALL = JobFilter()
RETRY_STEP = STEP_JOBS[BulkAction.RETRY]
CANCEL_STEP = STEP_JOBS[BulkAction.CANCEL]


@pytest.fixture
def world(database: Pool) -> World:
    return World(database)


@pytest.fixture
def bulk(world: World) -> BulkOperations:
    return BulkOperations(world.db, clock=world.clock)


def steps_of(world: World, quota: Quota | None = None) -> BulkSteps:
    return BulkSteps(world.db, clock=world.clock, notifications=world.notifications, quota=quota)


async def carry_out(world: World) -> None:
    steps = steps_of(world)
    while await steps.step():
        pass


async def failed_jobs(world: World, count: int, tenant: str = "ten_a") -> list[Job]:
    worker = await world.worker(tenant)
    await world.executor()
    ids = [(await world.job(worker)).id for _ in range(count)]
    world.forward(1)
    attempts = []
    while batch := await world.claim(capacity=1000):
        attempts += batch
    await world.finish(*(world.end_of(attempt, JobStatus.FAILED) for attempt in attempts))
    return [await world.jobs.get(tenant, job_id) for job_id in ids]


async def all_jobs(world: World, which: JobFilter = ALL) -> list[Job]:
    found: list[Job] = []
    after = None
    while True:
        listing = await world.job_views.list("ten_a", which, PageRequest(per_page=100, after_id=after))
        found += listing.rows
        if (after := listing.next_id) is None:
            return found


async def test_cancel_ends_queued_jobs_and_asks_running_ones(world: World, bulk: BulkOperations) -> None:
    worker = await world.worker()
    await world.executor()
    jobs = [await world.job(worker) for _ in range(CANCEL_STEP + 5)]
    world.forward(1)
    running = {attempt.job_id for attempt in await world.claim(capacity=3)}
    started = await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter(worker_id=worker.id))
    assert (started.status, started.matched, started.done) == (BulkStatus.RUNNING, len(jobs), 0)
    await carry_out(world)
    assert f"test cancel {EXECUTOR}" in world.sent
    ended = await bulk.get("ten_a", started.id)
    assert (ended.status, ended.matched, ended.done) == (BulkStatus.COMPLETED, len(jobs), len(jobs))
    for job in await all_jobs(world):
        expected = JobStatus.RUNNING if job.id in running else JobStatus.CANCELLED
        assert job.status == expected
        assert job.cancel_requested_at is not None


async def test_jobs_of_later_and_of_other_tenants_stay(world: World, bulk: BulkOperations) -> None:
    theirs = await world.job(await world.worker("ten_b"))
    worker = await world.worker()
    await world.job(worker)
    await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter())
    world.forward(0.001)
    later = await world.job(worker)
    await carry_out(world)
    assert (await world.jobs.get("ten_b", theirs.id)).status == JobStatus.QUEUED
    assert (await world.jobs.get("ten_a", later.id)).status == JobStatus.QUEUED


async def test_retry_retries_each_failed_job_once_however_often_it_is_asked(
    world: World, bulk: BulkOperations
) -> None:
    old = await failed_jobs(world, RETRY_STEP + 3)
    notified: list[object] = []
    world.notifications.on_ready(notified.append)
    for expected in (len(old), 0):
        world.forward(1)
        started = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
        assert started.matched == expected
        notified.clear()
        await carry_out(world)
        assert len(notified) == -(-expected // RETRY_STEP), "once for each step that made jobs"
        assert (await bulk.get("ten_a", started.id)).done == expected
    repeats = [job for job in await all_jobs(world) if job.retry_of]
    assert Counter(job.retry_of for job in repeats) == Counter(job.id for job in old)
    assert {job.triggered_by for job in repeats} == {"usr_1"}


async def test_two_processes_step_side_by_side_and_retry_each_job_once(
    world: World, bulk: BulkOperations
) -> None:
    old = await failed_jobs(world, 4 * RETRY_STEP)
    half = JobFilter(ids=frozenset(job.id for job in old[: 3 * RETRY_STEP]))
    await bulk.start(world.caller(), BulkAction.RETRY, half)
    await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await asyncio.gather(*(carry_out(world) for _ in range(4)))
    repeats = [job.retry_of for job in await all_jobs(world) if job.retry_of]
    assert sorted(map(str, repeats)) == sorted(job.id for job in old)


async def test_a_step_that_is_cut_off_did_nothing(world: World, bulk: BulkOperations) -> None:
    old = await failed_jobs(world, 2 * RETRY_STEP)
    started = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await steps_of(world).step()
    await world.db.execute(
        "CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'cut_off' USING ERRCODE = 'disk_full'; END $$"
    )
    await world.db.execute(
        "CREATE TRIGGER cut_off BEFORE UPDATE ON bulk_operations FOR EACH ROW WHEN (NEW.done >= 30)"
        " EXECUTE FUNCTION cut_off()"
    )
    with pytest.raises(Exception, match="cut_off"):
        await steps_of(world).step()
    assert (await bulk.get("ten_a", started.id)).done == RETRY_STEP
    assert len([job for job in await all_jobs(world) if job.retry_of]) == RETRY_STEP
    await world.db.execute("DROP TRIGGER cut_off ON bulk_operations")
    await failed_jobs(world, 1, "ten_b")
    other = await bulk.start(world.caller("ten_b"), BulkAction.RETRY, JobFilter())
    await carry_out(world)
    assert (await bulk.get("ten_b", other.id)).status == BulkStatus.COMPLETED
    assert (await bulk.get("ten_a", started.id)).done == RETRY_STEP
    world.forward(PUT_OFF.total_seconds())
    await carry_out(world)
    assert len([job for job in await all_jobs(world) if job.retry_of]) == len(old)


async def test_a_worker_that_takes_no_jobs_fails_its_retries_and_they_may_be_retried_later(
    world: World, bulk: BulkOperations
) -> None:
    (old,) = await failed_jobs(world, 1)
    await world.db.execute("UPDATE workers SET status = 'paused'")
    refused = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await carry_out(world)
    ended = await bulk.get("ten_a", refused.id)
    assert (ended.done, ended.failed) == (0, 1)
    assert ended.error == f"The worker {old.worker_id} is paused."
    await world.db.execute("UPDATE workers SET status = 'active'")
    accepted = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await carry_out(world)
    assert (await bulk.get("ten_a", accepted.id)).done == 1


async def test_a_job_that_a_person_retried_is_left_out(world: World, bulk: BulkOperations) -> None:
    once, _ = await failed_jobs(world, 2)
    await world.jobs.retry(world.caller(), once.id)
    await world.jobs.retry(world.caller(), once.id)
    assert await bulk.count(world.caller(), BulkAction.RETRY, JobFilter()) == 1
    assert [job.id for job in await all_jobs(world, which=JobFilter(retried=True))] == [once.id]


async def test_filters_by_error_and_duration(world: World, bulk: BulkOperations) -> None:
    jobs = await failed_jobs(world, 3)
    for number, job in enumerate(jobs):
        code = ErrorCode.TIMEOUT if number == 0 else ErrorCode.HANDLER_ERROR
        await world.db.execute(
            "UPDATE job_results SET error = $2, duration_ms = $3 WHERE job_id = $1",
            job.id,
            msgspec.json.encode(JobError(code, f"No 100%_{number} LUCK")),
            number * 1000,
        )

    async def count(which: JobFilter) -> int:
        return await bulk.count(world.caller(), BulkAction.RETRY, which)

    assert await count(JobFilter(error_code=ErrorCode.TIMEOUT)) == 1
    assert await count(JobFilter(error_code=ErrorCode.OUT_OF_MEMORY)) == 0
    assert await count(JobFilter(error_contains="100%_1 luck")) == 1
    assert await count(JobFilter(error_contains="%")) == 3
    assert await count(JobFilter(error_contains="_x")) == 0
    assert await count(JobFilter(min_duration_ms=1000)) == 2
    assert await count(JobFilter(worker_version=1)) == 3
    assert await count(JobFilter(worker_version=2)) == 0
    assert await count(JobFilter(ids=frozenset(job.id for job in jobs[:2]))) == 2
    assert await count(JobFilter(statuses=frozenset({JobStatus.COMPLETED}))) == 0


async def test_operations_alternate(world: World, bulk: BulkOperations) -> None:
    await failed_jobs(world, 3 * RETRY_STEP)
    await failed_jobs(world, 1, "ten_b")
    await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    world.forward(1)
    second = await bulk.start(world.caller("ten_b"), BulkAction.RETRY, JobFilter())
    steps = steps_of(world)
    for _ in range(2):
        world.forward(1)
        await steps.step()
    assert (await bulk.get("ten_b", second.id)).status == BulkStatus.COMPLETED


async def test_retries_wait_while_the_tenant_is_at_its_quota(world: World, bulk: BulkOperations) -> None:
    await failed_jobs(world, 2)
    limit = 0

    async def count(_tenant_id: str, _bound: int) -> int:
        return 0

    quota = Quota("queued_jobs", limit_of=lambda _: limit, count=count)
    started = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    assert await steps_of(world, quota).step()
    assert not await steps_of(world, quota).step()
    waiting = await bulk.get("ten_a", started.id)
    assert waiting.status == BulkStatus.RUNNING
    assert "queued_jobs" in str(waiting.error)
    limit = 10
    world.forward(PUT_OFF.total_seconds())
    assert await steps_of(world, quota).step()
    resumed = await bulk.get("ten_a", started.id)
    assert (resumed.done, resumed.error) == (2, None)


async def test_a_stopped_operation_does_no_more(world: World, bulk: BulkOperations) -> None:
    await failed_jobs(world, 2 * RETRY_STEP)
    started = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await steps_of(world).step()
    stopped = await bulk.cancel(world.caller(), started.id)
    assert (stopped.status, stopped.done) == (BulkStatus.CANCELLED, RETRY_STEP)
    [audited] = await world.db.fetch("SELECT subject_id FROM audit_log WHERE action = 'job.bulk_stop'")
    assert audited["subject_id"] == started.id
    assert not await steps_of(world).step()
    with pytest.raises(ConflictError):
        await bulk.cancel(world.caller(), started.id)
    with pytest.raises(NotFoundError):
        await bulk.cancel(world.caller("ten_b"), started.id)


async def test_a_key_starts_one_operation(world: World, bulk: BulkOperations) -> None:
    key = Idempotency("k", b"digest")
    first, second = [await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter(), key) for _ in range(2)]
    assert first == second
    with pytest.raises(ConflictError):
        await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter(), Idempotency("k", b"other"))
    with pytest.raises(ConflictError, match="used with another"):
        await bulk.start(world.caller(), BulkAction.RETRY, JobFilter(), Idempotency("k", b"third"))


async def test_a_tenant_runs_a_bounded_number_of_operations(world: World, bulk: BulkOperations) -> None:
    async def start() -> BulkOperation:
        return await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter())

    for _ in range(MOST_RUNNING):
        await start()
    with pytest.raises(ConflictError, match="are running"):
        await start()
    await carry_out(world)
    await start()


async def test_starts_at_the_same_moment_do_not_pass_the_limit(world: World, bulk: BulkOperations) -> None:
    starts = [bulk.start(world.caller(), BulkAction.CANCEL, JobFilter()) for _ in range(3 * MOST_RUNNING)]
    starts.append(bulk.start(world.caller("ten_b"), BulkAction.CANCEL, JobFilter()))
    *answers, other = await asyncio.gather(*starts, return_exceptions=True)
    assert isinstance(other, BulkOperation)
    started = [answer for answer in answers if isinstance(answer, BulkOperation)]
    assert len(started) == MOST_RUNNING
    assert all(isinstance(answer, ConflictError) for answer in answers if answer not in started)


async def test_a_retry_may_run_the_version_of_the_original(world: World, bulk: BulkOperations) -> None:
    await world.executor()
    worker = await world.worker(max_retries=1)
    pinned, gone, free = [await world.job(worker) for _ in range(3)]
    world.forward(1)
    await world.finish(*(world.end_of(one, JobStatus.FAILED) for one in await world.claim(capacity=9)))
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="y"))
    await world.db.execute("UPDATE job_results SET worker_version = 7 WHERE job_id = $1", gone.id)
    for jobs, version in (((pinned, gone), RetryVersion.ORIGINAL), ((free,), RetryVersion.LATEST)):
        which = JobFilter(ids=frozenset(job.id for job in jobs))
        started = await bulk.start(world.caller(), BulkAction.RETRY, which, version=version)
        await carry_out(world)
        ended = await bulk.get("ten_a", started.id)
        assert (ended.version, ended.done, ended.failed) == (version, 1, len(jobs) - 1)
        if gone in jobs:
            assert ended.error == f"Version 7 of the worker {worker.id} cannot run."
    assert (await world.jobs.get("ten_a", gone.id)).retried_as is None
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="z"))
    world.forward(1)
    versions = {}
    for attempt in await world.claim(capacity=9):
        job = await world.jobs.get("ten_a", attempt.job_id)
        versions[job.retry_of] = (attempt.worker_version, attempt.pinned_version, job.worker_version)
        await world.finish(world.end_of(attempt, JobStatus.FAILED, retry_in=1))
    assert versions == {pinned.id: (1, 1, 1), free.id: (3, None, 3)}
    world.forward(60)
    await promote_due(world.db, now=world.clock())
    again = {attempt.worker_version: attempt.pinned_version for attempt in await world.claim(capacity=9)}
    assert again == {1: 1, 3: None}, "an automatic retry keeps its version"


async def test_a_search_for_few_jobs_takes_bounded_steps(
    world: World, bulk: BulkOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await failed_jobs(world, 30)
    await world.db.execute(
        "UPDATE job_results SET error = json_build_object('code', 'timeout', 'message', 'x') WHERE job_id = $1",
        jobs[0].id,
    )
    monkeypatch.setattr(store, "SEARCH_WINDOW", 8)
    which = JobFilter(error_code=ErrorCode.TIMEOUT)
    started = await bulk.start(world.caller(), BulkAction.RETRY, which)
    steps = steps_of(world)
    taken = 0
    while await steps.step():
        taken += 1
    ended = await bulk.get("ten_a", started.id)
    assert (ended.status, ended.done, ended.matched) == (BulkStatus.COMPLETED, 1, 1)
    assert taken == 4
