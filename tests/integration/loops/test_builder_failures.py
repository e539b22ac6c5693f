"""Whatever happens to builders, their host and the database, each build ends once, with a reason."""

import asyncio

import pytest
from asyncpg import ConnectionDoesNotExistError

from runwright.builds.model import Build, Layer
from runwright.builds.store import Builds
from runwright.core.clock import system_clock
from runwright.core.ids import new_id
from runwright.db.pool import Pool as Database
from runwright.loops.builder import ATTEMPTS, GIVEN_UP
from runwright.runtimes.host import Host
from runwright.telemetry.events.builds import BuildInterrupted
from runwright.wiring.import_check import ImportFailedError
from runwright.workers.bundles.blobs import PackedBlob
from runwright.workers.model import ImportCheck
from tests.integration.loops.build_cluster import BuildCluster, installing


async def test_the_build_of_a_killed_builder_is_done_by_another(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("again", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "again"})
    dead = cluster.builds(lease_seconds=2)
    claimed = await dead.claim(["python"])
    assert claimed is not None
    assert await cluster.builds().claim(["python"]) is None, "its lease holds"
    await cluster.builder(builds=cluster.builds()).start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    attempt = await cluster.db.fetchval("SELECT attempt FROM builds WHERE worker_id = $1", worker.id)
    assert attempt == 2
    for late in (
        dead.renew(claimed, log="late"),
        dead.fail(claimed, reason="late", log="late"),
        dead.finish(claimed, None, blob=None, log="late"),
    ):
        assert not await late, "a builder that lost its lease changes nothing"
    assert (await cluster.state(worker, version))[0] == "ready"
    assert "late" not in await cluster.log(worker, version)


async def test_a_stop_kills_the_installation_and_releases_the_build(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("stopped", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "stopped"})
    builder = await installing(cluster, worker, version)
    await builder.stop()
    assert (await cluster.state(worker, version))[0] == "building"
    cluster.registry.gate.set()
    claimed = await cluster.builds().claim(["python"])
    assert claimed is not None
    assert claimed.attempt == 1, "it does not count as begun"


async def test_an_import_that_is_cut_short_by_a_stop_is_made_by_another_builder(
    cluster: BuildCluster,
) -> None:
    began = asyncio.Event()

    async def hang(*_: object) -> str | None:
        began.set()
        await asyncio.Event().wait()
        return None

    async def succeed(*_: object) -> str | None:
        return None

    worker = await cluster.worker()
    version = await cluster.deploy(worker, {}, ImportCheck.ONLY)
    first = cluster.builder(check=hang)
    await first.start()
    await began.wait()
    await first.stop()
    assert (await cluster.state(worker, version))[0] == "building"
    assert await cluster.serving(worker) == 1
    await cluster.builder(check=succeed).start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    assert await cluster.serving(worker) == version
    assert await cluster.db.fetchval("SELECT attempt FROM builds WHERE worker_id = $1", worker.id) == 1


async def test_a_host_that_cannot_import_leaves_it_to_others_and_gives_up_in_the_end(
    cluster: BuildCluster,
) -> None:
    async def fail(*_: object) -> str | None:
        raise ImportFailedError("no sandbox")

    worker = await cluster.worker()
    version = await cluster.deploy(worker, {}, ImportCheck.ONLY)
    await cluster.builder(check=fail).start()
    assert (await cluster.ended(worker, version))[:2] == ("failed", GIVEN_UP)
    assert len(cluster.telemetry.of(BuildInterrupted)) == ATTEMPTS
    assert await cluster.serving(worker) == 1


async def test_a_build_that_never_ends_is_given_up_after_a_few_tries(cluster: BuildCluster) -> None:
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "x"})
    for attempt in range(1, ATTEMPTS + 1):
        claimed = await cluster.builds(lease_seconds=0.01).claim(["python"])
        async with asyncio.timeout(60):
            while claimed is None:
                claimed = await cluster.builds(lease_seconds=0.01).claim(["python"])
        assert claimed.attempt == attempt
    await cluster.builder().start()
    status, error, _ = await cluster.ended(worker, version)
    assert status == "failed"
    assert error is not None
    assert "never ended" in error


async def test_an_error_of_the_host_does_not_fail_the_version_at_first(cluster: BuildCluster) -> None:
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "x"})
    await cluster.builder(index="ftp://nonsense").start()
    status, error, _ = await cluster.ended(worker, version)
    assert status == "failed"
    assert error is not None
    assert "nonsense" not in error, "what is wrong with the host is for its operator"
    interrupted = cluster.telemetry.of(BuildInterrupted)
    assert [event.attempt for event in interrupted] == [1, 2, 3]
    assert "not an http or https URL" in interrupted[0].error


class FlakyBuilds(Builds):
    """The database is away for a while: at each statement named, before or after it was executed."""

    def __init__(self, db: Database, **failures: int) -> None:
        super().__init__(db, clock=system_clock, builder_id=new_id("exe", system_clock()), lease_seconds=30)
        self.failures = failures

    def _fail(self, statement: str) -> None:
        if self.failures.get(statement, 0):
            self.failures[statement] -= 1
            raise ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def claim(self, runtimes: list[str], *, age_seconds: float = 0.0) -> Build | None:
        claimed = await super().claim(runtimes, age_seconds=age_seconds)
        if claimed is not None:
            self._fail("claim")
        return claimed

    async def layer(self, key: str) -> Layer | None:
        self._fail("layer")
        return await super().layer(key)

    async def release(self, build: Build, *, log: str, pause_seconds: float, free: bool) -> None:
        self._fail("release")
        await super().release(build, log=log, pause_seconds=pause_seconds, free=free)

    async def finish(self, build: Build, layer: Layer | None, *, blob: PackedBlob | None, log: str) -> bool:
        self._fail("finish")
        done = await super().finish(build, layer, blob=blob, log=log)
        self._fail("finished")
        return done

    async def fail(self, build: Build, *, reason: str, log: str) -> bool:
        self._fail("fail")
        return await super().fail(build, reason=reason, log=log)


@pytest.mark.parametrize("statement", ["claim", "layer", "finish", "finished"])
async def test_while_the_database_is_away_no_attempt_counts(cluster: BuildCluster, statement: str) -> None:
    cluster.registry.add_wheel("once", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "once"})
    builds = FlakyBuilds(cluster.db, **{statement: ATTEMPTS + 2, "release": 2})
    await cluster.builder(builds=builds).start()
    ended = await cluster.ended(worker, version)
    assert ended[0] == "ready", ended
    assert builds.failures[statement] == 0 or statement == "finished"
    attempt = await cluster.db.fetchval("SELECT attempt FROM builds WHERE worker_id = $1", worker.id)
    assert attempt == 1
    assert len(cluster.telemetry.of(BuildInterrupted)) == (ATTEMPTS + 2 if statement == "layer" else 0)


async def test_a_reason_is_written_when_the_database_is_back(cluster: BuildCluster) -> None:
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "nothing-of-that-name"})
    builds = FlakyBuilds(cluster.db, fail=3)
    await cluster.builder(builds=builds).start()
    assert (await cluster.ended(worker, version))[0] == "failed"
    assert builds.failures["fail"] == 0


async def test_a_host_without_a_sandbox_leaves_builds_to_others_and_then_fails_them(
    cluster: BuildCluster,
) -> None:
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "x"})
    builder = cluster.builder(refusal="This server cannot install dependencies.")
    await builder.start()
    await builder.loop.reached(1)
    assert (await cluster.state(worker, version))[0] == "building"
    await cluster.db.execute("UPDATE worker_versions SET created_at = created_at - interval '1 minute'")
    builder.loop.wake()
    assert (await cluster.ended(worker, version))[:2] == (
        "failed",
        "This server cannot install dependencies.",
    )


async def test_a_host_without_a_sandbox_for_builds_imports_code_at_once(cluster: BuildCluster) -> None:
    async def succeed(*_: object) -> str | None:
        return None

    worker = await cluster.worker()
    version = await cluster.deploy(worker, {}, ImportCheck.ONLY)
    builder = cluster.builder(refusal="This server cannot install dependencies.", check=succeed)
    await builder.start()
    await builder.loop.reached(1)
    assert await cluster.db.fetchval("SELECT count(*) FROM builds") == 1, "the first pass claims it"
    assert (await cluster.ended(worker, version))[0] == "ready"


async def test_many_builders_never_have_the_same_build(cluster: BuildCluster) -> None:
    worker = await cluster.worker()
    versions = {await cluster.deploy(worker, {"requirements.txt": f"x{n}"}) for n in range(8)}
    claims = await asyncio.gather(*(cluster.builds().claim(["python"]) for _ in range(24)))
    held = [claim.version for claim in claims if claim is not None]
    assert len(held) == len(set(held))
    while (more := await cluster.builds().claim(["python"])) is not None:
        held.append(more.version)
    assert set(held) == versions
    assert len(held) == len(versions)


async def test_tenants_take_turns(cluster: BuildCluster) -> None:
    flood, quiet = await cluster.worker(tenant="ten_a"), await cluster.worker(tenant="ten_b")
    for number in range(4):
        await cluster.deploy(flood, {"requirements.txt": f"x{number}"})
    await cluster.deploy(quiet, {"requirements.txt": "y"})
    builds = cluster.builds()
    claims = [await builds.claim(["python"]) for _ in range(3)]
    assert [claim and claim.tenant_id for claim in claims] == ["ten_a", "ten_b", "ten_a"]


async def test_a_version_is_built_for_the_release_line_that_it_has_chosen(
    cluster: BuildCluster, host: Host
) -> None:
    lines = host.runtimes["python"].versions
    other = next((one.runtime_version for one in lines if not one.preferred), None)
    if other is None:
        pytest.skip("this host has one CPython only")
    cluster.registry.add_wheel("lined", "1.0", "X = 1\n")
    worker = await cluster.worker()
    files = {"requirements.txt": "lined"}
    await cluster.builder().start()  # of the preferred line
    here = await cluster.deploy(worker, files)
    _, _, key = await cluster.ended(worker, here)
    there = await cluster.deploy(worker, files, runtime_version=other)
    assert await cluster.builds().claim(["python"]) is None, "left to a builder that has it"
    await cluster.builder(runtimes=(f"python@{other}",)).start()
    status, error, other_key = await cluster.ended(worker, there)
    assert (status, error) == ("ready", None)
    assert key is not None
    assert other_key is not None
    layers = [await cluster.builds().layer(one) for one in (key, other_key)]
    assert [f"cpython-{other}-" in one.platform for one in layers if one is not None] == [False, True]
    names = {path.name for path in (await cluster.layer_files(other_key)).rglob("*.pyc")}
    assert names == {f"lined.cpython-{other.replace('.', '')}.pyc"}
    serving = await cluster.workers.get(worker.tenant_id, worker.id)
    assert (serving.version, serving.runtime_version) == (there, other)
