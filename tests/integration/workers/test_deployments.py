"""Which version serves, whatever is deployed, built, changed and rolled back, in any order."""

import asyncio
import io
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest

from runwright.builds.model import Build
from runwright.builds.store import mark_failed, mark_ready
from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError, InvalidError
from runwright.core.ids import WorkerId
from runwright.core.paging import PageRequest
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.workers.bundles.members import ArchiveLimits
from runwright.workers.bundles.reader import BundleReader, ReadFile
from runwright.workers.deployments import Deployments
from runwright.workers.model import NewWorker, RuntimeName, Version, Worker, WorkerChanges
from runwright.workers.service import Workers
from runwright.workers.store import fetch_revision
from tests.integration.workers.archives import zip_of
from tests.integration.workers.test_blobs import waiting

CALLER = Caller("ten_a", "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")
CODE = "def handler(input, env): pass\n"
NEEDS: dict[str, str | bytes] = {"main.py": CODE, "requirements.txt": "x"}


def needs_layer(_runtime: str, entrypoint: str, paths: Collection[str], read: ReadFile) -> bool:
    """As a manifest would, or a header in the entrypoint."""
    header = read(entrypoint, at_most=100) or b""
    return "requirements.txt" in paths or header.startswith(b"# needs")


class World:
    """A worker, and what can be done to it."""

    def __init__(self, db: Pool) -> None:
        self.db = db
        self.building = 0
        self.reader = reader = BundleReader(
            db,
            limits=ArchiveLimits(unpacked_bytes=1 << 20, files=100),
            spool_dir=Path(tempfile.gettempdir()),
            needs_layer=needs_layer,
        )
        self.workers = Workers(
            db, reader, clock=system_clock, on_deprecated=_nothing, on_building=self._hear_building
        )
        self.deployments = Deployments(db, reader, clock=system_clock, on_building=self._hear_building)

    def _hear_building(self) -> None:
        self.building += 1

    async def create(self) -> Worker:
        new = NewWorker(name="w", runtime=RuntimeName.PYTHON, source_code=CODE)
        return await self.workers.create(CALLER, new)

    async def deploy(
        self, worker: Worker, files: dict[str, str | bytes], entrypoint: str | None = None
    ) -> Version:
        archive = io.BytesIO(zip_of(files))
        return (await self.deployments.deploy(CALLER, worker.id, archive, entrypoint)).version

    async def build(self, version: Version, *, error: str | None = None) -> None:
        """End the building of a version, as a builder does."""
        build = Build(
            worker_id=version.worker_id,
            version=version.version,
            tenant_id=CALLER.tenant_id,
            runtime="python",
            entrypoint=version.entrypoint,
            bundle_digest=version.digest or "",
            attempt=1,
        )
        async with self.db.acquire() as db, db.transaction():
            await db.execute("SELECT 1 FROM workers WHERE id = $1 FOR UPDATE", version.worker_id)
            if error is None:
                await mark_ready(db, build, layer_key="layer", now=system_clock())
            else:
                await mark_failed(db, build, reason=error)

    async def serving(self, worker: Worker) -> int:
        return (await self.workers.get(CALLER.tenant_id, worker.id)).version

    async def status(self, version: Version) -> str:
        return (
            await self.deployments.get(CALLER.tenant_id, WorkerId(version.worker_id), version.version)
        ).status


async def _nothing() -> None:
    """No jobs are left behind here."""


@pytest.fixture
def world(database: Pool) -> World:
    return World(database)


async def test_a_version_with_dependencies_serves_when_they_are_there(world: World) -> None:
    worker = await world.create()
    version = await world.deploy(worker, NEEDS)
    assert (version.status, version.active, version.version) == ("building", False, 2)
    assert await world.serving(worker) == 1
    assert world.building == 1
    before = await world.workers.get(CALLER.tenant_id, worker.id)
    await world.build(version)
    assert await world.serving(worker) == 2
    definition = await fetch_revision(world.db, worker_id=worker.id)
    assert definition is not None
    assert (definition.bundle_digest, definition.layer_key) == (version.digest, "layer")
    assert before.version == 1


async def test_the_first_code_of_a_worker_is_its_version_1(world: World) -> None:
    worker = await world.workers.create(CALLER, NewWorker(name="w", runtime=RuntimeName.PYTHON))
    first = await world.deploy(worker, NEEDS)
    assert (first.version, first.status, first.active) == (1, "building", False)
    listed = await world.deployments.list(CALLER.tenant_id, worker.id, PageRequest())
    assert ([one.version for one in listed.rows], listed.total) == ([1], 1)
    assert (await world.workers.change(CALLER, worker.id, WorkerChanges(memory_mb=512))).source_code is None
    await world.build(first)
    assert await world.serving(worker) == 1
    assert (await fetch_revision(world.db, worker_id=worker.id) or first).version == 1
    second = await world.deploy(worker, {"main.py": CODE})
    assert (second.version, second.active) == (2, True)
    assert (await world.deployments.rollback(CALLER, worker.id, 1)).version == 1


async def test_of_a_first_code_that_fails_nothing_serves_until_the_next(world: World) -> None:
    worker = await world.workers.create(CALLER, NewWorker(name="w", runtime=RuntimeName.PYTHON))
    await world.build(await world.deploy(worker, NEEDS), error="no such package")
    with pytest.raises(ConflictError):
        await world.deployments.rollback(CALLER, worker.id, 1)
    assert (await world.deploy(worker, {"main.py": CODE})).version == await world.serving(worker) == 2


async def test_a_worker_that_was_given_source_keeps_its_numbers(world: World) -> None:
    empty = await world.workers.create(CALLER, NewWorker(name="w", runtime=RuntimeName.PYTHON))
    given = await world.workers.change(CALLER, empty.id, WorkerChanges(source_code=CODE))
    assert given.version == 2
    assert (await world.deploy(empty, {"main.py": CODE + "#"})).version == 3
    assert (await world.deploy(await world.create(), {"main.py": CODE})).version == 2


@pytest.mark.parametrize(
    ("server_checks", "check", "status"),
    [(True, True, "building"), (True, False, "ready"), (False, True, "ready")],
)
async def test_code_is_imported_unless_the_deploy_or_the_server_leaves_that_out(
    world: World, server_checks: bool, check: bool, status: str
) -> None:
    worker = await world.create()
    deployments = Deployments(
        world.db, world.reader, clock=system_clock, on_building=lambda: None, check_imports=server_checks
    )
    archive = io.BytesIO(zip_of({"main.py": CODE}))
    made = await deployments.deploy(CALLER, worker.id, archive, None, check=check)
    assert made.version.status == status
    assert made.check_only is (status == "building")
    assert await world.serving(worker) == (2 if status == "ready" else 1)


async def test_a_version_that_fails_never_serves_and_says_why(world: World) -> None:
    worker = await world.create()
    version = await world.deploy(worker, NEEDS)
    await world.build(version, error="no such package")
    failed = await world.deployments.get(CALLER.tenant_id, worker.id, 2)
    assert (failed.status, failed.error, failed.active) == ("failed", "no such package", False)
    assert await world.serving(worker) == 1
    with pytest.raises(ConflictError, match="failed"):
        await world.deployments.rollback(CALLER, worker.id, 2)


async def test_a_wait_ends_with_the_build_with_its_time_and_with_the_server(world: World) -> None:
    worker = await world.create()
    version = await world.deploy(worker, NEEDS)
    waiting_for_it = asyncio.create_task(world.deployments.wait_built(CALLER.tenant_id, version, 60))
    assert (await world.deployments.wait_built(CALLER.tenant_id, version, 0.01)).status == "building"
    await world.build(version)
    ended = await waiting_for_it
    assert (ended.status, ended.active) == ("ready", True)
    other = await world.deploy(worker, NEEDS | {"n": "2"})
    waiting_for_it = asyncio.create_task(world.deployments.wait_built(CALLER.tenant_id, other, 60))
    await asyncio.sleep(0)
    world.deployments.end_waits()
    assert (await waiting_for_it).status == "building"
    assert (await world.deployments.wait_built(CALLER.tenant_id, other, 60)).status == "building"


async def test_of_two_that_are_built_the_newer_serves_in_either_order(world: World) -> None:
    for first in (0, 1):
        worker = await world.create()
        versions = [await world.deploy(worker, NEEDS | {"n": str(n)}) for n in range(2)]
        await world.build(versions[first])
        assert await world.serving(worker) == versions[first].version
        await world.build(versions[1 - first])
        assert await world.serving(worker) == versions[1].version
        assert await world.status(versions[0]) == await world.status(versions[1]) == "ready"


async def test_what_was_activated_meanwhile_goes_on_serving(world: World) -> None:
    worker = await world.create()
    building = await world.deploy(worker, NEEDS)
    inline = await world.workers.change(CALLER, worker.id, WorkerChanges(source_code="x = 2"))
    assert inline.version == 3
    await world.build(building)
    assert await world.serving(worker) == 3
    await world.deployments.rollback(CALLER, worker.id, 2)
    assert await world.serving(worker) == 2


async def test_a_rollback_settles_what_is_being_built_and_a_later_deploy_is_free(world: World) -> None:
    worker = await world.create()
    building = await world.deploy(worker, NEEDS)
    with pytest.raises(ConflictError, match="building"):
        await world.deployments.rollback(CALLER, worker.id, 2)
    await world.deployments.rollback(CALLER, worker.id, 1)
    later = await world.deploy(worker, NEEDS | {"n": "1"})
    await world.build(building)
    assert await world.serving(worker) == 1
    await world.build(later)
    assert await world.serving(worker) == 3


async def test_to_deploy_what_serves_settles_what_is_being_built(world: World) -> None:
    worker = await world.create()
    plain = await world.deploy(worker, {"main.py": CODE})
    building = await world.deploy(worker, NEEDS)
    archive = io.BytesIO(zip_of({"main.py": CODE}))
    again = await world.deployments.deploy(CALLER, worker.id, archive, None)
    assert (again.created, again.version.version) == (False, plain.version)
    await world.build(building)
    assert await world.serving(worker) == plain.version


async def test_a_build_that_ends_twice_changes_nothing_the_second_time(world: World) -> None:
    worker = await world.create()
    version = await world.deploy(worker, NEEDS)
    await world.build(version)
    await world.deployments.rollback(CALLER, worker.id, 1)
    await world.build(version)
    await world.build(version, error="late")
    assert await world.serving(worker) == 1
    assert await world.status(version) == "ready"


async def test_a_deprecated_worker_keeps_its_version_when_a_build_ends(world: World) -> None:
    worker = await world.create()
    version = await world.deploy(worker, NEEDS)
    await world.workers.deprecate(CALLER, worker.id)
    await world.build(version)
    assert await world.serving(worker) == 1


async def test_another_entrypoint_of_a_bundle_may_have_other_dependencies(world: World) -> None:
    worker = await world.create()
    files: dict[str, str | bytes] = {"main.py": CODE, "plain.py": CODE, "needy.py": "# needs x\n" + CODE}
    await world.deploy(worker, files)
    plain = await world.workers.change(CALLER, worker.id, WorkerChanges(entrypoint="plain.py"))
    assert (plain.version, plain.entrypoint, world.building) == (3, "plain.py", 0)
    same = await world.workers.change(CALLER, worker.id, WorkerChanges(entrypoint="needy.py", name="n"))
    assert (same.version, same.entrypoint, same.name, world.building) == (3, "plain.py", "n", 1)
    await world.build(await world.deployments.get(CALLER.tenant_id, worker.id, 4))
    assert (await world.workers.get(CALLER.tenant_id, worker.id)).entrypoint == "needy.py"


async def test_an_entrypoint_that_is_not_in_the_bundle_changes_nothing(world: World) -> None:
    worker = await world.create()
    await world.deploy(worker, {"main.py": CODE})
    before = await world.workers.get(CALLER.tenant_id, worker.id)
    with pytest.raises(InvalidError) as caught:
        await world.workers.change(CALLER, worker.id, WorkerChanges(entrypoint="gone.py", name="n"))
    assert caught.value.fields.keys() == {"entrypoint"}
    assert await world.workers.get(CALLER.tenant_id, worker.id) == before


async def test_a_bundle_of_a_day_with_larger_limits_is_still_read(world: World, tmp_path: Path) -> None:
    worker = await world.create()
    await world.deploy(worker, {"main.py": CODE, "other.py": CODE})
    small = BundleReader(world.db, limits=ArchiveLimits(unpacked_bytes=1, files=1), spool_dir=tmp_path)
    workers = Workers(world.db, small, clock=system_clock, on_deprecated=_nothing)
    assert (await workers.change(CALLER, worker.id, WorkerChanges(entrypoint="other.py"))).version == 3


async def test_changes_at_once_all_count(world: World) -> None:
    """Who waited for the worker's row finds it as it is then."""
    worker = await world.create()
    sources = [f"x = {n}" for n in range(5)]
    changed = await asyncio.gather(
        *(world.workers.change(CALLER, worker.id, WorkerChanges(source_code=source)) for source in sources),
        world.deploy(worker, {"main.py": CODE}),
        world.workers.change(CALLER, worker.id, WorkerChanges(description="d")),
    )
    assert len(changed) == 7
    assert await world.serving(worker) == 7
    assert (await world.workers.get(CALLER.tenant_id, worker.id)).description == "d"


async def test_a_check_sees_the_worker_as_it_becomes_whoever_changes_it_at_once(world: World) -> None:
    worker = await world.create()

    def at_most_three(changed: Worker) -> None:
        if len(changed.config) > 3:
            raise InvalidError({"config": ["Too many."]})

    async def add(name: str) -> bool:
        try:
            await world.workers.change(
                CALLER, worker.id, WorkerChanges(config={name: "x"}), check=at_most_three
            )
        except InvalidError:
            return False
        return True

    added = await asyncio.gather(*(add(f"K{n}") for n in range(6)))
    assert sum(added) == 3
    assert len((await world.workers.get(CALLER.tenant_id, worker.id)).config) == 3


async def test_a_deploy_that_cannot_be_stored_leaves_no_blob(world: World) -> None:
    worker = await world.create()
    await world.db.execute("ALTER TABLE worker_versions ADD CONSTRAINT never CHECK (bundle_digest IS NULL)")
    with pytest.raises(Exception, match="never"):
        await world.deploy(worker, {"main.py": CODE})
    assert await world.db.fetchval("SELECT count(*) FROM blobs") == 0
    assert await world.serving(worker) == 1


async def test_a_submit_does_not_wait_for_a_bundle_that_is_being_stored(world: World) -> None:
    """The worker's row is locked at the end of a deploy only."""
    worker = await world.create()
    async with world.db.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        stored = await world.deploy(await world.create(), {"main.py": CODE})
        await other.execute("LOCK TABLE blobs IN ACCESS EXCLUSIVE MODE")
        deploying = asyncio.create_task(world.deploy(worker, {"main.py": CODE, "n": "1"}))
        await waiting(world.db)
        async with asyncio.timeout(60):
            await world.db.execute("SELECT 1 FROM workers WHERE id = $1 FOR UPDATE", worker.id)
        await transaction.rollback()
        assert (await deploying).version == stored.version == 2
