"""Agents inside: an event runs the agent's worker as a job, and what that returns is the decision."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from runwright.agents.model import Action, Execution, ExecutionStatus
from runwright.agents.worker_jobs import DECIDE_HANDLER, decide_by_jobs
from runwright.core.job_state import JobStatus
from runwright.db.pool import open_pool
from runwright.events.notifications import EventNotifications
from runwright.jobs.completion_callbacks import JOB_ENDS
from runwright.jobs.model import ClaimedAttempt
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute
from runwright.workers.model import WorkerChanges, WorkerStatus
from tests.integration.agents.callback_server import CallbackServer
from tests.integration.agents.world import World
from tests.integration.jobs.world import World as JobWorld

LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)


class Inside:
    """Agents with workers, and jobs that end as the test says."""

    def __init__(self, callback_server: CallbackServer, jobs: JobWorld) -> None:
        self.callback_server = callback_server
        self.world = callback_server.world
        self.jobs = jobs
        self.follower = CompletionDispatcher(
            jobs.db,
            [CompletionRoute(JOB_ENDS, {DECIDE_HANDLER: decide_by_jobs})],
            clock=self.world.clock,
            event_notifications=EventNotifications(origin="here", send=lambda _: None),
            emit=self.world.telemetry,
        )

    async def end(self, job: ClaimedAttempt, output: bytes | None, *, error: bytes | None = None) -> None:
        status = JobStatus.FAILED if output is None else JobStatus.COMPLETED
        ending = msgspec.structs.replace(self.jobs.end_of(job, status), output=output, error=error)
        await self.jobs.finish(ending)
        await self.follower.start()
        await self.follower.loop.reached(self.follower.loop.passes + 1)
        await self.follower.stop()

    async def claimed(self, count: int = 1) -> list[ClaimedAttempt]:
        await self.callback_server.until_settled()
        jobs = await self.jobs.claim()
        assert len(jobs) == count
        return jobs

    async def execution(self, execution: Execution) -> Execution:
        return await self.world.executions.get("ten_a", execution.id)


@pytest.fixture
async def inside(database_url: str) -> AsyncIterator[Inside]:
    db = await open_pool(database_url, max_size=8, by_key=True)
    jobs = JobWorld(db)
    await jobs.executor()
    async with CallbackServer(World(db), callers=2).connected() as callback_server:
        yield Inside(callback_server, jobs)
    jobs.notifications.stop()
    await db.close()


async def test_what_the_worker_returns_is_the_decision(inside: Inside) -> None:
    worker = await inside.jobs.worker()
    agent = await inside.world.agent(worker_id=worker.id)
    [execution] = await inside.world.publish_and_route()
    [job] = await inside.claimed()
    assert msgspec.json.decode(job.input)["execution"] == execution.id
    assert (await inside.execution(execution)).status is ExecutionStatus.RUNNING
    await inside.end(job, b'{"action": "reject", "reason": "blurred", "metadata": {"score": 1}}')
    decided = await inside.execution(execution)
    assert (decided.status, decided.action, decided.decided_by) == (
        ExecutionStatus.COMPLETED,
        Action.REJECT,
        job.job_id,
    )
    assert inside.callback_server.jobs_queued == 1
    ancestry = await inside.jobs.db.fetchval("SELECT path FROM job_ancestry WHERE job_id = $1", job.job_id)
    assert ancestry == [agent.id]


@pytest.mark.parametrize("output", [b"null", b'{"action": "maybe"}', b"[]"])
async def test_a_worker_that_decides_nothing_fails_the_execution(inside: Inside, output: bytes) -> None:
    await inside.world.agent(worker_id=(await inside.jobs.worker()).id)
    [execution] = await inside.world.publish_and_route()
    [job] = await inside.claimed()
    await inside.end(job, output)
    failed = await inside.execution(execution)
    assert failed.status is ExecutionStatus.FAILED
    assert "returned no action" in (failed.error or "")


async def test_a_failed_job_fails_the_execution_with_its_reason(inside: Inside) -> None:
    await inside.world.agent(worker_id=(await inside.jobs.worker()).id)
    [execution] = await inside.world.publish_and_route()
    [job] = await inside.claimed()
    await inside.end(job, None, error=b'{"code":"handler_error","message":"out of luck"}')
    failed = await inside.execution(execution)
    assert failed.error == f"The job {job.job_id} failed: out of luck"


async def test_each_event_makes_one_job_though_two_call(inside: Inside) -> None:
    worker = await inside.jobs.worker()
    for number in range(5):
        await inside.world.agent(str(number), worker_id=worker.id)
    for _ in range(20):
        await inside.world.publish()
    await inside.world.route()
    jobs = await inside.claimed(100)
    assert len({msgspec.json.decode(job.input)["execution"] for job in jobs}) == 100


async def test_a_worker_that_takes_no_jobs_fails_the_execution(inside: Inside) -> None:
    worker = await inside.jobs.worker()
    await inside.world.agent(worker_id=worker.id)
    changes = WorkerChanges(status=WorkerStatus.PAUSED)
    await inside.jobs.workers.change(inside.jobs.caller(), worker.id, changes)
    [execution] = await inside.world.publish_and_route()
    await inside.callback_server.until_settled()
    failed = await inside.execution(execution)
    assert (failed.status, failed.error) == (
        ExecutionStatus.FAILED,
        "The worker is paused and takes no jobs.",
    )


async def test_a_decision_that_comes_too_late_changes_nothing(inside: Inside) -> None:
    await inside.world.agent(worker_id=(await inside.jobs.worker()).id)
    [execution] = await inside.world.publish_and_route()
    [job] = await inside.claimed()
    await inside.world.decide(execution, Action.SKIP)
    await inside.end(job, b'{"action": "approve"}')
    assert (await inside.execution(execution)).action is Action.SKIP
    assert await inside.jobs.db.fetchval("SELECT count(*) FROM completion_callbacks") == 0
