"""Jobs that an idle executor takes in the transaction that accepts them."""

from datetime import timedelta

import pytest

from runwright.core.job_state import JobStatus
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.service import Jobs
from runwright.jobs.store.submit import Submission
from runwright.leases.store import expire_lease
from runwright.workers.model import Worker, WorkerChanges
from tests.integration.jobs.world import EXECUTOR, World


class Idle:
    """An executor with room for `room` jobs."""

    def __init__(self, room: int = 100) -> None:
        self.id = EXECUTOR
        self.runtimes = ("python",)
        self.room = room
        self.reserved: set[str] = set()
        self.begun: list[ClaimedAttempt] = []

    def reserve(self, submission: Submission) -> bool:
        if len(self.reserved) + len(self.begun) >= self.room:
            return False
        self.reserved.add(submission.id)
        return True

    def release(self, job_id: str) -> None:
        self.reserved.discard(job_id)

    def begin(self, attempt: ClaimedAttempt, executor_id: str) -> None:
        assert executor_id == self.id
        self.begun.append(attempt)


async def _submit(world: World, idle: Idle, worker: Worker, *, later: bool = False) -> JobStatus:
    jobs = Jobs(world.db, clock=world.clock, notifications=world.notifications, starter=idle)
    at = world.now + timedelta(seconds=60) if later else None
    accepted = await jobs.submit(world.submission(worker.id, scheduled_at=at))
    assert accepted.status is JobStatus.QUEUED
    assert idle.reserved == set()
    return await world.status(accepted)


async def test_it_runs_there_at_once_and_ends_like_any_other(world: World) -> None:
    idle = Idle()
    await world.executor()
    assert await _submit(world, idle, await world.worker(max_retries=2)) is JobStatus.RUNNING
    (attempt,) = idle.begun
    assert (attempt.attempt, attempt.fence, attempt.retries_left, attempt.input) == (1, 1, 2, b"{}")
    assert await world.finish(world.end_of(attempt)) == [JobStatus.COMPLETED]
    await world.assert_whole()


async def test_without_room_it_is_queued(world: World) -> None:
    await world.executor()
    idle = Idle(room=0)
    assert await _submit(world, idle, await world.worker()) is JobStatus.QUEUED
    assert idle.begun == []


async def test_a_job_for_later_is_queued(world: World) -> None:
    await world.executor()
    idle = Idle()
    assert await _submit(world, idle, await world.worker(), later=True) is JobStatus.QUEUED
    assert idle.begun == []


async def test_a_limited_worker_is_left_to_the_claim(world: World) -> None:
    await world.executor()
    idle = Idle()
    assert await _submit(world, idle, await world.worker(max_concurrency=1)) is JobStatus.QUEUED
    assert idle.begun == []


async def test_a_runtime_that_the_executor_lacks_is_left_to_others(world: World) -> None:
    await world.executor()
    idle = Idle()
    idle.runtimes = ("nodejs",)
    assert await _submit(world, idle, await world.worker()) is JobStatus.QUEUED


@pytest.mark.parametrize("registered", [True, False])
async def test_an_executor_without_a_living_lease_is_given_nothing(world: World, registered: bool) -> None:
    if registered:
        await world.executor()
        await expire_lease(world.db, executor_id=EXECUTOR)
    idle = Idle()
    assert await _submit(world, idle, await world.worker()) is JobStatus.QUEUED
    assert idle.begun == []


async def test_the_code_is_the_one_that_was_current_then(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="y"))
    idle = Idle()
    await _submit(world, idle, worker)
    assert (idle.begun[0].worker_version, idle.begun[0].worker_revision) == (2, 2)
