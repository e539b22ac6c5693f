"""The cache has a worker at the revisions that were read, drops the least recently used, and knows the newest."""

import msgspec
import pytest

from runwright.db.pool import Pool as Database
from runwright.executor import worker_cache
from runwright.executor.worker_cache import LoadedWorker, WorkerCache
from runwright.workers.model import WorkerChanges
from tests.integration.jobs.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def fetched(cache: WorkerCache, worker_id: str) -> LoadedWorker:
    found = await cache.fetch(worker_id)
    assert found is not None
    return found


async def test_a_worker_is_cached_at_the_revision_that_was_read(world: World) -> None:
    cache = WorkerCache(world.db)
    worker = await world.worker()
    assert (cache.get(worker.id, 1), cache.latest(worker.id)) == (None, None)
    first = await fetched(cache, worker.id)
    assert cache.get(worker.id, 1) is cache.latest(worker.id) is first
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="y"))
    assert cache.get(worker.id, 2) is None
    second = await fetched(cache, worker.id)
    assert cache.get(worker.id, 1) is first
    assert cache.get(worker.id, 2) is cache.latest(worker.id) is second
    assert (first.code.source, second.code.source) == (b"x", b"y")
    assert await cache.fetch("wkr_unknown") is None
    assert cache.latest("wkr_unknown") is None


async def test_a_pinned_version_is_cached_beside_the_one_that_serves(world: World) -> None:
    cache = WorkerCache(world.db)
    worker = await world.worker()
    await world.workers.change(world.caller(), worker.id, WorkerChanges(source_code="y", timeout_seconds=7))
    pinned = await cache.fetch(worker.id, 1)
    assert pinned is not None
    assert (cache.latest(worker.id), cache.get(worker.id, 2)) == (None, None)
    assert (pinned.code.version, pinned.code.source, pinned.revision.timeout_seconds) == (1, b"x", 7)
    serving = await fetched(cache, worker.id)
    assert cache.get(worker.id, 2, 1) is pinned
    assert cache.get(worker.id, 2) is serving
    assert serving.code.key != pinned.code.key
    assert await cache.fetch(worker.id, 3) is None


async def test_a_read_that_was_overtaken_does_not_become_the_newest(world: World) -> None:
    cache = WorkerCache(world.db)
    worker = await world.worker()
    await world.db.execute("UPDATE workers SET revision = 5")
    newest = await fetched(cache, worker.id)
    await world.db.execute("UPDATE workers SET revision = 4")
    older = await fetched(cache, worker.id)
    assert cache.latest(worker.id) is newest
    assert cache.get(worker.id, 4) is older


async def test_the_least_recently_used_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_cache, "_MOST_WORKERS", 2)
    cache = WorkerCache(world.db)
    one, two, three = [(await world.worker()).id for _ in range(3)]
    await fetched(cache, one)
    await fetched(cache, two)
    assert cache.get(one, 1) is not None  # so the other one was used longer ago
    await fetched(cache, three)
    assert [cache.get(worker, 1) is not None for worker in (one, two, three)] == [True, False, True]
    assert [cache.latest(worker) is not None for worker in (one, two, three)] == [True, False, True]


async def test_a_newer_revision_stays_the_newest_when_an_older_one_is_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_cache, "_MOST_WORKERS", 2)
    cache = WorkerCache(world.db)
    worker = await world.worker()
    newest = await fetched(cache, worker.id)
    for revision in (2, 3):
        await world.db.execute("UPDATE workers SET revision = $1", revision)
        newest = await fetched(cache, worker.id)
    assert cache.get(worker.id, 1) is None
    assert cache.latest(worker.id) is newest


async def test_a_worker_is_loaded_with_its_code_limits_and_configuration(world: World) -> None:
    cache = WorkerCache(world.db)
    worker = await world.worker()
    before = await fetched(cache, worker.id)
    await world.db.execute(
        """UPDATE workers SET config = '{"TEXT": "a b", "NUMBER": 7, "LIST": [1, null]}', memory_mb = 77,
                              revision = 2"""
    )
    loaded = await fetched(cache, worker.id)
    assert loaded.env == {"TEXT": "a b", "NUMBER": "7", "LIST": "[1,null]"}
    code = loaded.code
    assert (code.tenant_id, code.worker_id, code.version, code.runtime) == ("ten_a", worker.id, 1, "python")
    assert (code.source, code.memory_mb, code.folders) == (b"x", 77, [])
    assert code.entrypoint == worker.entrypoint
    assert code.network == loaded.revision.network
    assert code.key != before.code.key, "a sandbox with other limits is another one"
    await world.db.execute("UPDATE workers SET timeout_seconds = 5, revision = 3")
    assert (await fetched(cache, worker.id)).code.key == code.key


async def test_an_attempt_is_assigned_with_the_code_that_is_given_for_it(world: World) -> None:
    await world.executor()
    cache = WorkerCache(world.db)
    worker = await world.worker()
    await world.job(worker)
    [attempt] = await world.claim()
    loaded = await fetched(cache, worker.id)
    plain = loaded.assignment(3, attempt)
    assert (plain.id, plain.job_id, plain.code, plain.secrets) == (3, attempt.job_id, loaded.code, {})
    code = msgspec.structs.replace(loaded.code, bundle="/b")
    given = loaded.assignment(3, attempt, code=code, secrets={"A": "1"})
    assert (given.code, given.secrets, given.input) == (code, {"A": "1"}, b"{}")
    assert given.timeout_seconds == loaded.revision.timeout_seconds
