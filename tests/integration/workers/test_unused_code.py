"""Code that nobody uses is deleted, and nothing that anything may still need, whoever else is at it."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError
from runwright.core.ids import WorkerId
from runwright.db.pool import Pool
from runwright.workers.bundles.blobs import insert_blob, pack
from runwright.workers.unused_code import (
    KEPT_VERSIONS,
    SETTLED_FOR,
    empty_old_versions,
    prune_blobs,
    prune_layers,
)
from runwright.workers.versions import ready_versions
from tests.integration.workers.test_blobs import waiting
from tests.integration.workers.test_deployments import CALLER, World

LATER = timedelta(days=400)
QUEUED = """
INSERT INTO job_queue (tenant_id, job_id, worker_id, state, priority, run_at, rank, retries_left, worker_version,
                       trigger, pinned)
VALUES ('ten_a', $1, $2, $3, 5, now(), now(), 0, $4, 'manual', $5)
"""


async def deployed(database: Pool, versions: int) -> tuple[World, WorkerId]:
    """Return a worker that has had that many bundles after its first source."""
    world = World(database)
    worker = await world.create()
    for number in range(versions):
        await world.deploy(worker, {"main.py": f"# {number}\ndef handler(input, env): pass\n"})
    return world, WorkerId(worker.id)


async def prune(database: Pool) -> tuple[int, int, int]:
    now = system_clock() + LATER
    return (
        await empty_old_versions(database, before=now, now=now, limit=100),
        await prune_layers(database, before=now, limit=100),
        await prune_blobs(database, before=now, limit=100),
    )


async def with_code(database: Pool, worker: WorkerId) -> list[int]:
    rows = await database.fetch(
        "SELECT version FROM worker_versions WHERE worker_id = $1 AND status = 'ready'"
        " AND (bundle_digest IS NOT NULL OR source_code IS NOT NULL) ORDER BY version",
        worker,
    )
    return [row["version"] for row in rows]


async def blobs(database: Pool) -> int:
    count: int = await database.fetchval("SELECT count(*) FROM blobs")
    assert count == await database.fetchval("SELECT count(DISTINCT digest) FROM blob_chunks")
    return count


async def test_the_newest_versions_and_the_one_that_serves_keep_their_code(database: Pool) -> None:
    world, worker = await deployed(database, KEPT_VERSIONS + 4)
    await world.deployments.rollback(CALLER, worker, 2)
    assert await prune(database) == (4 - 1 + 1, 0, 3), "the first has its source in the row"
    kept = [2, *range(6, KEPT_VERSIONS + 6)]
    assert await with_code(database, worker) == kept
    assert await blobs(database) == len(kept)
    with pytest.raises(ConflictError, match="was deleted because it was old"):
        await world.deployments.rollback(CALLER, worker, 3)
    await world.deployments.rollback(CALLER, worker, 7)
    assert await prune(database) == (1, 0, 1), "what served until now"


async def test_nothing_young_and_no_worker_that_has_just_changed_is_touched(database: Pool) -> None:
    await deployed(database, KEPT_VERSIONS + 2)
    now = system_clock()
    young = await empty_old_versions(database, before=now - LATER, now=now + LATER, limit=100)
    changed = await empty_old_versions(database, before=now + LATER, now=now + SETTLED_FOR / 2, limit=100)
    assert (young, changed) == (0, 0)


async def test_a_version_that_a_job_runs_or_is_bound_to_keeps_its_code(database: Pool) -> None:
    _, worker = await deployed(database, KEPT_VERSIONS + 4)
    await database.execute(QUEUED, "job_1", worker, "waiting", 2, True)
    await database.execute(QUEUED, "job_2", worker, "running", 3, False)
    await database.execute(QUEUED, "job_3", worker, "ready", 4, False)
    await prune(database)
    assert (await with_code(database, worker))[:3] == [2, 3, 6], "a job that is not bound runs what serves"


async def test_a_blob_that_two_versions_have_stays_until_both_are_old(database: Pool) -> None:
    world = World(database)
    worker = await world.create()
    files: dict[str, str | bytes] = {"main.py": "# the same\ndef handler(input, env): pass\n"}
    await world.deploy(worker, files)
    for number in range(KEPT_VERSIONS):
        await world.deploy(worker, files if number == 4 else {"main.py": f"# {number}\n"})
    await prune(database)
    assert await with_code(database, WorkerId(worker.id)) == list(range(3, KEPT_VERSIONS + 3))
    assert await blobs(database) == KEPT_VERSIONS


async def test_a_job_that_is_being_bound_to_a_version_keeps_it(database: Pool) -> None:
    _, worker = await deployed(database, KEPT_VERSIONS + 1)
    async with database.acquire() as submitter, submitter.transaction():
        assert await ready_versions(submitter, [(worker, 2)]) == {(worker, 2)}
        await prune(database)
    assert 2 in await with_code(database, worker)
    await prune(database)
    assert 2 not in await with_code(database, worker)
    async with database.acquire() as submitter, submitter.transaction():
        assert await ready_versions(submitter, [(worker, 2)]) == frozenset()


async def test_a_blob_that_is_deployed_again_while_it_is_deleted_is_stored_anew(
    database: Pool, tmp_path: Path
) -> None:
    blob = pack([b"content"], spool_dir=tmp_path)
    async with database.acquire() as db, db.transaction():
        await insert_blob(db, blob, now=system_clock())
    async with database.acquire() as deleting, database.acquire() as deploying:
        deletion = deleting.transaction()
        await deletion.start()
        await deleting.execute("SELECT 1 FROM blobs WHERE digest = $1 FOR UPDATE", blob.digest)
        await deleting.execute("DELETE FROM blob_chunks WHERE digest = $1", blob.digest)
        await deleting.execute("DELETE FROM blobs WHERE digest = $1", blob.digest)
        storing = asyncio.create_task(insert_blob(deploying, blob, now=system_clock()))
        await waiting(database)
        await deletion.commit()
        assert await storing is True
    assert await blobs(database) == 1
    async with database.acquire() as db, db.transaction():
        assert await insert_blob(db, blob, now=system_clock()) is False
        assert (await prune(database))[2] == 0, "it is locked by what is about to refer to it"
    blob.close()


async def test_two_processes_at_once_delete_everything_once(database: Pool) -> None:
    _, worker = await deployed(database, KEPT_VERSIONS + 6)
    counts = await asyncio.gather(*(prune(database) for _ in range(3)))
    while any(more := await prune(database)):
        counts.append(more)
    assert sum(count[0] for count in counts) == 7
    assert sum(count[2] for count in counts) == 6
    assert await with_code(database, worker) == list(range(8, KEPT_VERSIONS + 8))
