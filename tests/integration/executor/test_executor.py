"""An executor runs what it claims, and lets go of it in every way that there is."""

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError, NotFoundError
from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import ErrorCode, JobStatus
from runwright.core.paging import PageRequest
from runwright.db.availability import Availability
from runwright.db.patience import current, patience
from runwright.executor import attempt_runner, claim_loop
from runwright.executor.preparation import Preparation
from runwright.executor.worker_cache import LoadedWorker
from runwright.job_views.model import JobFilter
from runwright.jobs.model import CHUNK_BYTES, AttemptEnd, Job
from runwright.jobs.service import Jobs
from runwright.leases.store import expire_lease
from runwright.telemetry.events.executor import (
    ExecutorLeaseLost,
    JobAttemptEnded,
    JobHandedBack,
    JobRecordFailed,
    JobResultRefused,
    StrayClaimHandedBack,
    WorkerNotLoaded,
)
from runwright.workers.model import RuntimeName, WorkerChanges, WorkerStatus
from tests.integration.executor.conftest import CALLER, Engine, MakeEngine
from tests.submissions import submission

ECHO = "def handler(input, env):\n    print('hello')\n    return {'got': input}\n"
SLOW = "import time\ndef handler(input, env):\n    print('begun', flush=True)\n    time.sleep(60)\n"


async def test_a_job_runs_and_its_output_and_log_are_kept(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.start()
    job = await engine.ended(await engine.submit(await engine.worker(ECHO), b'{"a":1}'))
    assert (job.status, bytes(job.output)) == (JobStatus.COMPLETED, b'{"got":{"a":1}}')
    logs = await engine.job_views.logs(job.tenant_id, job.id, level=None, limit=10, after=None)
    assert [line.msg for line in logs.logs][:2] == ["Worker handler started", "hello"]
    assert logs.logs[-1].msg.startswith("Handler completed in ")


async def test_a_log_is_stored_in_chunks_and_what_comes_of_its_job_is_reported(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    await engine.start()
    lines = "def handler(input, env):\n    for n in range(100):\n        print(n, '\\x1b[' * 4000)\n"
    job = await engine.ended(await engine.submit(await engine.worker(lines)))

    async def reported() -> bool:
        return bool(engine.telemetry.of(JobAttemptEnded))

    await engine.until(reported)
    assert [event.status for event in engine.telemetry.of(JobAttemptEnded)] == [JobStatus.COMPLETED]
    assert engine.telemetry.of(JobResultRefused) == []
    logs = await engine.job_views.logs(job.tenant_id, job.id, level=None, limit=500, after=None)
    assert [line.msg.partition(" ")[0] for line in logs.logs[1:-1]] == [str(n) for n in range(100)]
    sizes = await engine.db.fetch("SELECT last_seq - first_seq + 1 FROM job_log_chunks ORDER BY first_seq")
    assert len(sizes) >= 100 * 8000 // (CHUNK_BYTES + 8010)
    assert max(size for (size,) in sizes) * 8000 <= CHUNK_BYTES + 3 * 8010


async def test_a_failing_job_is_tried_again_and_then_fails_for_good(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.start()
    worker = await engine.worker("def handler(input, env):\n    raise ValueError('no')\n", max_retries=1)
    job = await engine.ended(await engine.submit(worker))
    assert (job.status, job.attempt) == (JobStatus.FAILED, 2)
    assert job.error is not None
    assert (job.error.code, "no" in job.error.message) == (ErrorCode.HANDLER_ERROR, True)
    assert len(await engine.job_views.attempts(job.tenant_id, job.id)) == 2


async def test_lines_of_a_running_job_can_be_read_while_it_runs_and_a_cancel_is_noticed_at_once(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_runner, "CANCELS_SECONDS", 3600.0)  # by the notification, not by the look
    engine = make_engine()
    await engine.start()
    job = await engine.submit(await engine.worker(SLOW, timeout_seconds=300))
    await engine.until(lambda: engine.has_line(job, "begun"))
    assert (await engine.jobs.get(job.tenant_id, job.id)).status is JobStatus.RUNNING
    await engine.jobs.cancel(CALLER, job.id)
    ended = await engine.ended(job)
    assert ended.status is JobStatus.CANCELLED
    with pytest.raises(ConflictError):
        await engine.jobs.cancel(CALLER, job.id)


async def test_a_worker_that_lists_secrets_fails_before_running_and_names_them(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(ECHO)
    await engine.db.execute(
        "UPDATE workers SET secrets = '{SLACK_BOT_TOKEN}', max_retries = 3, revision = revision + 1"
    )
    job = await engine.ended(await engine.submit(worker))
    assert job.error is not None
    assert job.error.code is ErrorCode.MISSING_SECRET
    assert "SLACK_BOT_TOKEN" in job.error.message
    assert not await engine.has_line(job, "hello")


async def test_two_executors_share_the_work_and_each_job_runs_once(make_engine: MakeEngine) -> None:
    first, second = make_engine(slots=2), make_engine(slots=2)
    await first.start()
    await second.start()
    worker = await first.worker("import time\ndef handler(input, env):\n    time.sleep(0.05)\n")
    jobs = [await first.submit(worker) for _ in range(40)]
    for job in jobs:
        assert (await first.ended(job)).status is JobStatus.COMPLETED
    ran = await first.db.fetch("SELECT executor_id, count(*) FROM job_results GROUP BY 1")
    assert {row[0] for row in ran} == {first.executor.id, second.executor.id}


async def test_a_drain_hands_back_what_has_not_begun_and_gives_up_what_does_not_end(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(slots=1)
    await engine.start()
    worker = await engine.worker(SLOW, max_retries=1)
    running = await engine.submit(worker)
    await engine.until(lambda: engine.has_line(running, "begun"))
    waiting = await engine.submit(worker)
    await engine.executor.stop()
    given_up = await engine.jobs.get(running.tenant_id, running.id)
    assert (given_up.status, given_up.attempt) == (JobStatus.QUEUED, 2)
    untouched = await engine.jobs.get(waiting.tenant_id, waiting.id)
    assert (untouched.status, untouched.attempt) == (JobStatus.QUEUED, 1)
    assert await engine.db.fetchval("SELECT count(*) FROM executors") == 0


async def test_an_executor_that_lost_its_lease_kills_what_runs_and_starts_over(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(slots=2)
    await engine.start()
    old_id = engine.executor.id
    job = await engine.submit(await engine.worker(SLOW))
    await engine.until(lambda: engine.has_line(job, "begun"))
    await expire_lease(engine.db, executor_id=old_id)
    await engine.reaper.start()
    assert (await engine.ended(job)).error is not None
    async with asyncio.timeout(60):
        while engine.executor.id == old_id or engine.executor.pool.stats().running:
            await engine.next_heartbeat()
    (lost,) = engine.telemetry.of(ExecutorLeaseLost)
    assert (lost.executor_id, lost.jobs) == (old_id, 1)
    again = await engine.ended(await engine.submit(await engine.worker(ECHO)))
    assert again.status is JobStatus.COMPLETED


async def _with_lost_claim(engine: Engine) -> Job:
    """Return a job that the database says an executor has, which never had the answer; its claims are stopped."""
    await engine.start()
    worker = await engine.worker(ECHO)
    await engine.executor.claims.loop.stop()
    elsewhere = Jobs(engine.db, clock=system_clock, notifications=engine.notifications)
    job = await elsewhere.submit(submission(CALLER, worker.id, system_clock()))
    await engine.db.execute(
        "UPDATE job_queue SET state = 'running', executor_id = $1, fence = 1", engine.executor.id
    )
    return job


async def test_a_claim_whose_answer_was_lost_is_handed_back_when_the_executor_stops(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    job = await _with_lost_claim(engine)
    await engine.executor.stop()
    assert [event.job_id for event in engine.telemetry.of(StrayClaimHandedBack)] == [job.id]
    assert (await engine.jobs.get(job.tenant_id, job.id)).status is JobStatus.QUEUED


async def test_a_claim_whose_answer_was_lost_is_handed_back_and_runs(make_engine: MakeEngine) -> None:
    engine = make_engine()
    job = await _with_lost_claim(engine)
    engine.executor.claims.loop.start()
    assert (await engine.ended(job)).status is JobStatus.COMPLETED
    assert [event.job_id for event in engine.telemetry.of(StrayClaimHandedBack)] == [job.id]
    assert engine.executor.runner.held_keys() == set(), (
        "or the next claim of it would pass for one that is held"
    )


class BrokenSecrets:
    """Secrets that cannot be read; notes when the jobs were claimed for which that was tried."""

    def __init__(self) -> None:
        self.tries: list[float] = []
        self.claimed_at: Callable[[], float] = asyncio.get_running_loop().time

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:  # noqa: ARG002
        self.tries.append(self.claimed_at())
        raise OSError


class LargeSecrets:
    """Secrets that have grown since a worker listed them."""

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:  # noqa: ARG002
        return dict.fromkeys(names, "x" * 60000)


async def test_a_job_whose_secrets_fit_into_no_environment_fails_and_says_so(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(preparation=Preparation(secrets=LargeSecrets()))
    await engine.start()
    worker = await engine.worker(ECHO)
    names = [f"S{number}" for number in range(9)]
    await engine.db.execute("UPDATE workers SET secrets = $1, revision = revision + 1", names)
    job = await engine.ended(await engine.submit(worker))
    assert job.error is not None
    assert (job.error.code, job.error.message) == (
        "load_error",
        "The worker's secrets have 540000 bytes together; the limit is 524288.",
    )


async def test_claims_are_a_second_apart_once_nothing_begins_any_more(make_engine: MakeEngine) -> None:
    secrets = BrokenSecrets()
    engine = make_engine(preparation=Preparation(secrets=secrets))
    claims = engine.executor.claims
    secrets.claimed_at = lambda: claims._claimed_at  # noqa: SLF001  a try may be late
    await engine.start()
    worker = await engine.worker(ECHO)
    await engine.db.execute("UPDATE workers SET secrets = '{A}', revision = revision + 1")
    job = await engine.submit(worker)

    async def tried_often() -> bool:
        return len(secrets.tries) >= 7

    await engine.until(tried_often)
    pauses = [after - before for before, after in itertools.pairwise(secrets.tries)]
    assert min(pauses[4:]) >= claim_loop.LOOK_SECONDS, pauses
    assert (await engine.jobs.get(job.tenant_id, job.id)).attempt == 1, "hand-backs are free"
    assert {event.job_id for event in engine.telemetry.of(JobHandedBack)} == {job.id}


async def test_a_waiting_request_gets_what_a_read_would_return(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.start()
    sources = (ECHO, "def handler(input, env):\n    raise ValueError('no')\n", SLOW)
    for source in sources:
        new = submission(CALLER, (await engine.worker(source)).id, system_clock())
        waiting = asyncio.create_task(engine.jobs.submit_and_wait(new, None, 30))
        if source is SLOW:
            which = JobFilter(worker_id=new.worker_id)

            async def begun(which: JobFilter = which) -> bool:
                jobs = (await engine.job_views.list("ten_a", which, PageRequest())).rows
                return bool(jobs) and await engine.has_line(jobs[0], "begun")

            await engine.until(begun)
            running = (await engine.job_views.list("ten_a", which, PageRequest())).rows
            await engine.jobs.cancel(CALLER, running[0].id)
        answer = await waiting
        read = await engine.jobs.get("ten_a", answer.id)
        assert _plain(answer) == _plain(read)


def _plain(job: Job) -> dict[str, object]:
    return {
        name: bytes(value) if isinstance(value := getattr(job, name), msgspec.Raw) else value
        for name in Job.__struct_fields__
    }


async def test_new_code_is_used_by_the_next_job(make_engine: MakeEngine) -> None:
    engine = make_engine()
    await engine.start()
    worker = await engine.worker("def handler(input, env):\n    return 1\n")
    assert bytes((await engine.ended(await engine.submit(worker))).output) == b"1"
    for n in range(2, 6):
        changed = await _with_source(engine, worker.id, n)
        job = await engine.ended(await engine.submit(worker))
        assert (bytes(job.output), job.worker_version) == (b"%d" % n, changed)


async def test_a_claim_whose_code_cannot_be_loaded_or_has_changed_goes_back_and_runs_the_newest(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    worker = await engine.worker("def handler(input, env):\n    return 1\n")
    workers, changed = engine.executor.runner.workers, 0
    fetch = workers.fetch

    async def fetch_late(worker_id: str, pinned_version: int | None) -> LoadedWorker | None:
        nonlocal changed
        if not changed:
            changed = await _with_source(engine, worker.id, 2)
            raise ConnectionResetError
        if changed == 2:
            changed = await _with_source(engine, worker.id, 3)
        return await fetch(worker_id, pinned_version)

    monkeypatch.setattr(workers, "fetch", fetch_late)
    job = await engine.submit(worker)
    await engine.start()
    ended = await engine.ended(job)
    assert (bytes(ended.output), ended.worker_version, ended.attempt) == (b"3", 3, 1)
    assert len(engine.telemetry.of(WorkerNotLoaded)) == 1


async def _with_source(engine: Engine, worker_id: str, n: int) -> int:
    changes = WorkerChanges(source_code=f"def handler(input, env):\n    return {n}\n")
    return (await engine.workers.change(CALLER, WorkerId(worker_id), changes)).version


async def test_sandboxes_are_booted_for_the_runtimes_of_which_there_are_workers(
    make_engine: MakeEngine,
) -> None:
    def boots_shells(engine: Engine) -> Callable[[], Awaitable[bool]]:
        async def boots() -> bool:
            return engine.executor.pool.stats().sandboxes.get("shell", {}).get("blank", 0) == 1

        return boots

    engine = make_engine()
    await engine.start()
    assert not await boots_shells(engine)()
    await engine.worker("echo 1", runtime=RuntimeName.SHELL)
    await engine.until(boots_shells(engine))
    await engine.executor.stop()
    next_one = make_engine()
    await next_one.start()
    await next_one.until(boots_shells(next_one))


async def test_code_is_in_a_sandbox_before_its_job_is_accepted_for_its_own_tenant_only(
    make_engine: MakeEngine,
) -> None:
    """A job that is refused tells it apart: what was opened for it stays."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker("def handler(input, env):\n    return 1\n")
    await engine.workers.change(CALLER, worker.id, WorkerChanges(status=WorkerStatus.PAUSED))

    async def opened() -> bool:
        return engine.executor.pool.stats().sandboxes.get("python", {}).get("idle", 0) == 1

    async def ready_for_it() -> bool:
        latest = engine.executor.runner.workers.latest(worker.id)
        blank = engine.executor.pool.stats().sandboxes.get("python", {}).get("blank", 0)
        return latest is not None and blank == 1

    await engine.until(ready_for_it)
    other_tenant = msgspec.structs.replace(CALLER, tenant_id="ten_b")
    with pytest.raises(NotFoundError):
        await engine.jobs.submit(submission(other_tenant, worker.id, system_clock()))
    assert not await opened()
    with pytest.raises(ConflictError):
        await engine.jobs.submit(submission(CALLER, worker.id, system_clock()))
    assert await opened()


async def test_a_stopped_executor_leaves_no_task_and_no_thread(make_engine: MakeEngine) -> None:
    engine = make_engine(slots=1)
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    await engine.executor.start()
    assert asyncio.all_tasks() > tasks
    job = await engine.submit(await engine.worker(ECHO))
    assert (await engine.ended(job)).status is JobStatus.COMPLETED
    await engine.executor.stop()
    await engine.executor.stop()
    await engine.jobs.stop()
    engine.notifications.stop()
    named = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - tasks}  # type: ignore[union-attr]
    assert named == set()
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert {name for name in left if not name.startswith("asyncio_")} == set()  # those of asyncio are shared


async def test_work_beside_the_claims_is_forgotten_when_it_is_done(make_engine: MakeEngine) -> None:
    found: list[weakref.ref[asyncio.Task[None]]] = []
    done = asyncio.Event()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        found.append(weakref.ref(task))
        done.set()

    make_engine().executor.runner.spawn(work())
    await done.wait()
    del work
    for _ in range(3):  # until the callbacks of the task have run
        await asyncio.sleep(0)
    gc.collect()
    assert [task() for task in found] == [None]


async def test_what_a_request_starts_beside_the_claims_has_not_its_patience(make_engine: MakeEngine) -> None:
    found: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        found.set_result(current())

    with patience(Availability()):
        make_engine().executor.runner.spawn(work())
        assert await found is None


async def test_a_hand_back_that_cannot_be_written_is_reported(make_engine: MakeEngine) -> None:
    engine = make_engine()
    lost = AttemptEnd(
        tenant_id="ten_a",
        job_id=JobId("job_\0"),  # which no database takes
        fence=1,
        attempt=1,
        worker_version=1,
        status=JobStatus.QUEUED,
        ended_at=system_clock(),
    )
    engine.executor.runner.hand_back_lost(lost)

    async def reported() -> bool:
        return bool(engine.telemetry.of(JobRecordFailed))

    await engine.until(reported)


@pytest.mark.parametrize("limit", [None, 1])
async def test_no_job_waits_for_the_periodic_look(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    """With one slot, and with a limit of one at once: what ends makes room for the next."""
    monkeypatch.setattr(claim_loop, "LOOK_SECONDS", 600.0)
    engine = make_engine(slots=1 if limit is None else 4)
    await engine.start()
    worker = await engine.worker("import time\ndef handler(input, env):\n    time.sleep(0.2)\n")
    await engine.db.execute("UPDATE workers SET max_concurrency = $1, revision = revision + 1", limit)
    for job in [await engine.submit(worker) for _ in range(4)]:
        assert (await engine.ended(job)).status is JobStatus.COMPLETED


class SlowSecrets:
    """Secrets that are given when a test lets them be."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.given = asyncio.Event()

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:  # noqa: ARG002
        self.asked.set()
        await self.given.wait()
        return dict.fromkeys(names, "s3cret-value")


async def test_a_job_that_is_cancelled_while_it_is_prepared_does_not_run(make_engine: MakeEngine) -> None:
    secrets = SlowSecrets()
    engine = make_engine(preparation=Preparation(secrets=secrets))
    await engine.start()
    worker = await engine.worker(ECHO)
    await engine.db.execute("UPDATE workers SET secrets = '{A}', revision = revision + 1")
    job = await engine.submit(worker)
    await secrets.asked.wait()
    cancels = engine.executor.runner.cancels
    await engine.jobs.cancel(CALLER, job.id)
    await cancels.reached(cancels.passes + 2)
    secrets.given.set()
    ended = await engine.ended(job)
    assert (ended.status, ended.started_at is None) == (JobStatus.CANCELLED, True)
    assert not await engine.has_line(job, "hello")


async def test_a_job_that_is_prepared_while_the_lease_is_lost_takes_no_slot_and_does_not_run(
    make_engine: MakeEngine,
) -> None:
    secrets = SlowSecrets()
    engine = make_engine(preparation=Preparation(secrets=secrets))
    await engine.start()
    worker = await engine.worker(ECHO)
    await engine.db.execute("UPDATE workers SET secrets = '{A}', revision = revision + 1")
    job = await engine.submit(worker)
    await secrets.asked.wait()
    old_id = engine.executor.id
    await expire_lease(engine.db, executor_id=old_id)
    async with asyncio.timeout(20):
        while engine.executor.id == old_id:
            await engine.next_heartbeat()
    assert (engine.executor.runner.unplaced(), len(engine.executor.runner)) == ([], 0)
    secrets.given.set()
    await engine.reaper.start()
    ended = await engine.ended(job)
    assert ended.error is not None
    assert (ended.error.code, engine.begun[job.id]) == (ErrorCode.EXECUTOR_LOST, 0)
