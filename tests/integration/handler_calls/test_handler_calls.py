"""The calls of running jobs, as they change the database: in their own tenant, while they run, within limits."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import pytest

from runwright.core.job_state import JobStatus
from runwright.core.paging import PageRequest
from runwright.db.batching import retry_transient
from runwright.db.pool import Pool
from runwright.handler_calls import service as handler_calls
from runwright.handler_calls import store as children
from runwright.handler_calls.service import HandlerCallService
from runwright.handler_calls.store import RunningAttempt
from runwright.job_views.model import JobFilter
from runwright.jobs.completion_callbacks import record_ancestry
from runwright.jobs.model import ClaimedAttempt
from runwright.jobs.store.progress import write_progress
from runwright.jobs.store.prune import prune_jobs
from runwright.runtimes.handler_calls import EmitEvent, GetState, HandlerCall, SetState, StartJob
from runwright.workers import state
from runwright.workers.model import Worker
from tests.integration.jobs.world import EXECUTOR, World
from tests.telemetry import RecordedTelemetry

Json = Any
ONE_PAGE: Final = PageRequest()


class Handlers:
    """Running jobs of a world, and what they call."""

    def __init__(self, world: World, *, queued_jobs: int | None = None) -> None:
        self.world = world
        self.telemetry = RecordedTelemetry()
        self.events = 0
        self.service = HandlerCallService(
            world.db,
            clock=world.clock,
            emit=self.telemetry,
            notifications=world.notifications,
            on_event=self._count_event,
            queued_jobs=queued_jobs,
        )

    def _count_event(self) -> None:
        self.events += 1

    async def run(self, worker: Worker) -> ClaimedAttempt:
        """Submit a job and claim it."""
        job = await self.world.job(worker)
        return next(one for one in await self.world.claim() if one.job_id == job.id)

    async def call(self, attempt: ClaimedAttempt, call: HandlerCall, executor_id: str = EXECUTOR) -> Json:
        """Make a call; return its value, or [code, message]."""
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.service.serve(
            RunningAttempt(attempt=attempt, executor_id=executor_id), call, answered.set_result
        )
        result = json.loads(await answered)
        return list(result["error"].values()) if "error" in result else result["value"]

    async def set(self, attempt: ClaimedAttempt, key: str, value: object, **expect: object) -> Json:
        expected = {"expect": raw(expect["expect"])} if expect else {}
        return await self.call(attempt, SetState(key, raw(value), **expected))

    async def get(self, attempt: ClaimedAttempt, key: str) -> Json:
        return await self.call(attempt, GetState(key))

    async def start(
        self, attempt: ClaimedAttempt, worker: str, key: str | None = None, **input: object
    ) -> Json:
        return await self.call(attempt, StartJob(worker, raw(input), key))

    async def emit(
        self, attempt: ClaimedAttempt, type: str, key: str | None = None, **payload: object
    ) -> Json:
        return await self.call(attempt, EmitEvent(type, raw(payload), key))


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


@pytest.fixture
async def handlers(database: Pool) -> Handlers:
    world = World(database)
    await world.executor()
    return Handlers(world)


async def test_state_is_kept_for_the_worker_and_for_no_other(handlers: Handlers) -> None:
    world = handlers.world
    mine, other = await world.worker(), await world.worker()
    foreign = await world.worker("ten_b")
    first = await handlers.run(mine)
    assert await handlers.get(first, "cursor") is None
    assert await handlers.set(first, "cursor", {"n": 1}) is True
    await world.finish(world.end_of(first))
    later = await handlers.run(mine)
    assert await handlers.get(later, "cursor") == {"n": 1}
    assert [await handlers.get(await handlers.run(one), "cursor") for one in (other, foreign)] == [None, None]
    assert await handlers.set(later, "cursor", None) is True
    assert await handlers.get(later, "cursor") is None


async def test_a_write_that_expects_a_value_is_made_only_then(handlers: Handlers) -> None:
    attempt = await handlers.run(await handlers.world.worker())
    assert await handlers.set(attempt, "lock", "me", expect=None) is True
    assert await handlers.set(attempt, "lock", "you", expect=None) is False
    assert await handlers.set(attempt, "lock", {"b": 1, "a": [2]}, expect="me") is True
    assert await handlers.set(attempt, "lock", "last", expect={"a": [2], "b": 1}) is True
    assert await handlers.set(attempt, "lock", None, expect="last") is True
    assert await handlers.get(attempt, "lock") is None
    numbers = await asyncio.gather(*(handlers.set(attempt, "n", n, expect=None) for n in range(10)))
    assert numbers.count(True) == 1


async def test_state_has_limits_for_keys_and_bytes(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "MOST_KEYS", 3)
    monkeypatch.setattr(state, "STATE_BYTES", 100)
    attempt = await handlers.run(await handlers.world.worker())
    for key in "abc":
        assert await handlers.set(attempt, key, "x" * 20) is True
    assert await handlers.set(attempt, "d", 1) == ["conflict", "The state of a worker has at most 3 keys."]
    code, message = await handlers.set(attempt, "a", "x" * 60)
    assert (code, message) == ("conflict", "The state of a worker has at most 100 bytes.")
    assert await handlers.set(attempt, "a", "x" * 50) is True
    assert await handlers.set(attempt, "a", None) is True
    assert await handlers.set(attempt, "d", 1) is True


async def test_an_attempt_that_does_not_run_any_more_changes_nothing(handlers: Handlers) -> None:
    world = handlers.world
    worker = await world.worker(max_retries=2)
    lost = await handlers.run(worker)
    await world.lose()
    await world.executor("exe_b")
    for executor_id in (EXECUTOR, "exe_b"):
        for call in (
            SetState("k", raw(1)),
            EmitEvent("custom.done", raw({})),
            StartJob("w", raw({})),
        ):
            answer = await handlers.call(lost, call, executor_id)
            assert answer == ["conflict", "The job is not running any more."]
    [again] = [one for one in await world.claim("exe_b") if one.job_id == lost.job_id]
    assert await handlers.call(again, SetState("k", raw(2)), "exe_b") is True
    assert await handlers.call(lost, SetState("k", raw(1)), EXECUTOR) == [
        "conflict",
        "The job is not running any more.",
    ]
    assert await world.db.fetchval("SELECT count(*) FROM events WHERE type LIKE 'custom.%'") == 0
    assert await world.db.fetchval("SELECT count(*) FROM jobs") == 1


async def test_an_event_is_in_the_tenants_log_with_the_ancestry_of_its_job(handlers: Handlers) -> None:
    world = handlers.world
    attempt = await handlers.run(await world.worker())
    async with world.db.acquire() as db:
        await record_ancestry(db, [attempt.job_id], ["agt_1", "aut_2"])
    first = await handlers.emit(attempt, "custom.done", "once", rows=1)
    assert first.startswith("evt_")
    assert await handlers.emit(attempt, "custom.done", "once", rows=1) == first
    assert (await handlers.emit(attempt, "custom.done", "once", rows=2))[0] == "conflict"
    assert (await handlers.emit(attempt, "custom.Bad Name"))[0] == "invalid"
    rows = await world.db.fetch(
        "SELECT tenant_id, type, subject_id, data, ancestry FROM events WHERE type LIKE 'custom.%'"
    )
    [row] = rows
    assert (row["tenant_id"], row["subject_id"], row["ancestry"]) == (
        "ten_a",
        attempt.job_id,
        ["agt_1", "aut_2"],
    )
    assert json.loads(bytes(row["data"])) == {"rows": 1}
    assert handlers.events == 2


async def test_events_and_jobs_of_an_attempt_are_counted(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_calls, "EVENTS_PER_ATTEMPT", 2)
    monkeypatch.setattr(handler_calls, "JOBS_PER_ATTEMPT", 2)
    worker = await handlers.world.worker()
    attempt = await handlers.run(worker)
    emitted = [await handlers.emit(attempt, "custom.done") for _ in range(3)]
    assert [type(one) for one in emitted[:2]] == [str, str]
    assert emitted[2] == ["conflict", "A job may emit 2 events."]
    started = [await handlers.start(attempt, worker.id) for _ in range(3)]
    assert [type(one) for one in started[:2]] == [str, str]
    assert started[2] == ["conflict", "A job may start 2 others."]


async def test_a_started_job_names_its_parent_and_takes_after_it(handlers: Handlers) -> None:
    world = handlers.world
    worker = await world.worker()
    parent = await handlers.run(worker)
    async with world.db.acquire() as db:
        await record_ancestry(db, [parent.job_id], ["agt_1"])
    child_id = await handlers.start(parent, "w", width=10)
    child = await world.jobs.get("ten_a", child_id)
    assert (child.parent_job_id, child.status, bytes(child.input)) == (
        parent.job_id,
        JobStatus.QUEUED,
        b'{"width":10}',
    )
    assert (child.triggered_by, child.priority) == ("usr_1", 5)
    assert await world.db.fetchval("SELECT path FROM job_ancestry WHERE job_id = $1", child_id) == ["agt_1"]
    listing = await world.job_views.list("ten_a", JobFilter(parent_job_id=parent.job_id), ONE_PAGE)
    assert [job.id for job in listing.rows] == [child_id]
    assert world.sent[-1].endswith("ready")


async def test_a_key_makes_it_the_same_job_in_every_attempt(handlers: Handlers) -> None:
    world = handlers.world
    worker = await world.worker(max_retries=1)
    first = await handlers.run(worker)
    child = await handlers.start(first, worker.id, "page-1", page=1)
    await world.finish(world.end_of(first, JobStatus.FAILED, retry_in=0))
    await world.promote()
    second = next(one for one in await world.claim() if one.job_id == first.job_id)
    assert second.attempt == 2
    assert await handlers.start(second, worker.id, "page-1", page=1) == child
    assert (await handlers.start(second, worker.id, "page-1", page=2))[0] == "conflict"
    assert await handlers.start(second, worker.id, "page-2", page=1) != child
    other = await handlers.run(worker)
    assert await handlers.start(other, worker.id, "page-1", page=1) != child


async def test_a_tree_of_jobs_is_bounded_in_depth_and_number(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "MOST_DEPTH", 3)
    monkeypatch.setattr(children, "MOST_STARTED", 4)
    worker = await handlers.world.worker()
    root = await handlers.run(worker)
    await handlers.start(root, worker.id)
    [child] = await handlers.world.claim()
    await handlers.start(child, worker.id)
    [grandchild] = await handlers.world.claim()
    code, message = await handlers.start(grandchild, worker.id)
    assert (code, message) == ("conflict", "A job that others started may be 3 deep, the first one included.")
    assert isinstance(await handlers.start(child, worker.id), str)
    assert isinstance(await handlers.start(root, worker.id), str)
    for one in (root, child):
        assert await handlers.start(one, worker.id) == [
            "conflict",
            "A job may lead to 4 others, directly or not.",
        ]
    other = await handlers.run(worker)
    assert isinstance(await handlers.start(other, worker.id), str)


async def test_only_workers_of_the_tenant_that_take_jobs_can_be_started(handlers: Handlers) -> None:
    world = handlers.world
    parent = await handlers.run(await world.worker())
    foreign = await world.worker("ten_b")
    assert await handlers.start(parent, foreign.id) == ["not_found", f"There is no worker {foreign.id}."]
    second = await world.worker()
    assert (await handlers.start(parent, "w"))[1] == "Several workers are named w; use an id."
    await world.workers.deprecate(world.caller(), second.id)
    assert isinstance(await handlers.start(parent, "w"), str)
    assert (await handlers.start(parent, second.id))[0] == "conflict"


async def test_a_started_job_is_charged_to_the_quota(database: Pool) -> None:
    world = World(database)
    await world.executor()
    handlers = Handlers(world, queued_jobs=1)
    worker = await world.worker()
    parent = await handlers.run(worker)
    first = await handlers.start(parent, worker.id, key="k")
    assert isinstance(first, str)
    assert await handlers.start(parent, worker.id, key="k") == first, "which makes nothing"
    assert await handlers.start(parent, worker.id, key="other") == [
        "quota",
        "The tenant's quota queued_jobs is 1, and it has 1.",
    ]


async def test_a_database_that_is_away_is_an_error_of_the_call(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_calls, "CALL_SECONDS", 0.2)
    attempt = await handlers.run(await handlers.world.worker())
    handlers.service._db = (gone := Gone())  # type: ignore[assignment]  # noqa: SLF001
    assert await handlers.get(attempt, "k") == ["unavailable", handler_calls._AWAY]  # noqa: SLF001
    assert await handlers.set(attempt, "k", 1) == ["unavailable", handler_calls._AWAY]  # noqa: SLF001
    assert gone.asked >= 2
    assert len(handlers.telemetry.events) == 2


class Gone:
    """A database that refuses connections."""

    asked = 0

    async def fetchrow(self, *_: object) -> None:
        self.asked += 1
        raise ConnectionRefusedError

    def acquire(self) -> None:
        self.asked += 1
        raise ConnectionRefusedError


async def test_many_calls_are_answered_later_and_not_refused(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_calls, "CALLS_AT_ONCE", 2)
    monkeypatch.setattr(handler_calls, "CALLS_PER_SECOND", 50)
    attempt = await handlers.run(await handlers.world.worker())
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert [await handlers.get(attempt, "k") for _ in range(12)] == [None] * 12
    assert loop.time() - began >= 0.19


async def test_each_call_is_counted_once(handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_calls, "CALLS_PER_SECOND", 1e-9)
    attempt = await handlers.run(await handlers.world.worker())
    for _ in range(3):
        await handlers.get(attempt, "k")
    assert attempt.calls is not None
    assert round(attempt.calls.tokens, 3) == handler_calls.CALLS_AT_ONCE - 3


async def test_a_call_is_tried_again_for_half_of_its_time_unless_it_expects_a_value(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    async def noted(send: Callable[[], Awaitable[object]], *, seconds: float) -> object:
        given.append(seconds)
        return await retry_transient(send, seconds=seconds)

    monkeypatch.setattr(handler_calls, "retry_transient", noted)
    worker = await handlers.world.worker()
    attempt = await handlers.run(worker)
    assert await handlers.set(attempt, "k", 1) is True
    assert await handlers.get(attempt, "k") == 1
    assert isinstance(await handlers.start(attempt, worker.id), str)
    assert await handlers.set(attempt, "k", 2, expect=1) is True
    assert given == [handler_calls.CALL_SECONDS / 2] * 3


async def test_the_quotas_of_a_bounded_number_of_tenants_are_kept(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_calls, "_MOST_TENANTS", 2)
    kept = []
    for tenant in ("ten_a", "ten_b", "ten_c"):
        worker = await handlers.world.worker(tenant)
        assert isinstance(await handlers.start(await handlers.run(worker), worker.id), str)
        kept.append(len(handlers.service._queued_jobs))  # noqa: SLF001
    assert kept == [1, 2, 1]


async def test_progress_is_that_of_the_attempt_that_runs_and_goes_with_its_job(handlers: Handlers) -> None:
    world = handlers.world
    first = await handlers.run(await world.worker(max_retries=1))

    async def report(
        attempt: ClaimedAttempt, fraction: float, message: str, executor_id: str = EXECUTOR
    ) -> None:
        attempt.report(fraction, message, world.now)
        progress = attempt.take_progress()
        assert progress is not None
        assert attempt.take_progress() is None
        await write_progress(world.db, executor_id=executor_id, reports=[progress])

    async def shown() -> list[object] | None:
        progress = (await world.jobs.get("ten_a", first.job_id)).progress
        return None if progress is None else [progress.fraction, progress.message]

    await report(first, 0.2, "one")
    await report(first, 0.4, "two")
    await report(first, 0.9, "of another executor", "exe_b")
    assert await shown() == [0.4, "two"]
    await world.finish(world.end_of(first, JobStatus.FAILED, retry_in=0))
    await world.promote()
    assert await shown() is None
    second = next(one for one in await world.claim() if one.job_id == first.job_id)
    await report(first, 0.95, "late")
    assert await shown() is None
    await report(second, 1.0, "done")
    await world.finish(world.end_of(second))
    assert await shown() == [1.0, "done"]
    world.forward(3600)
    assert await prune_jobs(world.db, before=world.now, limit=10) == 1
    assert await world.db.fetchval("SELECT count(*) FROM job_progress") == 0
