"""Versions with dependencies become ready or fail with a reason, whatever happens to builders."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from asyncpg import ConnectionDoesNotExistError

from runwright.builds.build_sandbox import BuildLimits, BuildSandbox
from runwright.builds.installer import Installer
from runwright.builds.log import BuildLog
from runwright.builds.model import Build, Layer
from runwright.builds.package_managers import DependencySources, PackageManagers
from runwright.builds.store import Builds
from runwright.core.clock import system_clock
from runwright.core.ids import new_id
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool as Database
from runwright.loops.builder import ATTEMPTS, GIVEN_UP, Builder, Check
from runwright.loops.version_files import LayerLookup, LayerNotReadyError, LoadError
from runwright.runtimes.host import Host
from runwright.telemetry.events.builds import BuildInterrupted
from runwright.wiring.import_check import ImportFailedError
from runwright.workers.bundles.blobs import PackedBlob, insert_blob, pack
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.bundles.members import ArchiveLimits, MemberKind
from runwright.workers.bundles.tar import BLOCK, END, canonical_header
from runwright.workers.model import ImportCheck, NewWorker, RuntimeName, Worker, WorkerChanges
from runwright.workers.service import Workers
from runwright.workers.versions import fetch_build_log
from tests.bundles import no_bundles
from tests.integration.loops.registry import NAME, LocalRegistry, local_registry
from tests.telemetry import RecordedTelemetry

LAYER_LIMITS = ArchiveLimits(unpacked_bytes=64 << 20, files=5000)
HANDLER = "async def handler(input, env):\n    return input\n"
ENDED = frozenset({"ready", "failed"})


@pytest.fixture(scope="module")
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as registry:
        yield registry


class BuildCluster:
    """Workers with bundles, and builders on one database; `close` stops the builders."""

    def __init__(self, db: Database, host: Host, registry: LocalRegistry, folder: Path) -> None:
        self.db = db
        self.registry = registry
        self.telemetry = RecordedTelemetry()
        self.workers = Workers(db, no_bundles(db), clock=system_clock, on_deprecated=_nothing)
        self._host = host
        self._folder = folder
        self._open: list[Callable[[], None]] = []
        self._builders: list[Builder] = []
        self.package_managers: list[PackageManagers] = []
        bundles = ArchiveLimits(unpacked_bytes=64 << 20, files=1000)
        self.folders = FolderCache(
            db,
            root=folder / "cache",
            limit_bytes=1 << 30,
            limits={"bundles": bundles, "layers": LAYER_LIMITS},
        )
        self.folders.open()

    async def close(self) -> None:
        for builder in self._builders:
            await builder.stop()
        for close in self._open:
            close()
        await self.folders.stop()

    def builds(self, lease_seconds: float = 30) -> Builds:
        return Builds(
            self.db, clock=system_clock, builder_id=new_id("exe", system_clock()), lease_seconds=lease_seconds
        )

    def builder(
        self,
        *,
        scripts: bool = False,
        seconds: float = 60,
        slots: int = 1,
        runtimes: tuple[str, ...] = ("python", "nodejs"),
        builds: Builds | None = None,
        index: str | None = None,
        refusal: str | None = None,
        check: Check | None = None,
    ) -> Builder:
        builds = builds or self.builds()
        sources = DependencySources(
            python_index=index or self.registry.index,
            npm_registry=self.registry.npm,
            allow_install_scripts=scripts,
        )
        build_sandbox = BuildSandbox(
            host=self._host,
            limits=BuildLimits(seconds=seconds, memory_mb=512, disk_mb=64),
            resolve=_resolve,
        )
        build_sandbox.open()
        self._open.append(build_sandbox.close)
        self.package_managers.append(PackageManagers(self._host, sources))
        installer = Installer(
            package_managers=self.package_managers[-1],
            build_sandbox=build_sandbox,
            bundle_folder=lambda digest: self.folders.folder("bundles", digest),
            refusal=refusal,
            layer_folder=lambda digest: self.folders.folder("layers", digest),
            find_layer=builds.layer,
            limits=LAYER_LIMITS,
            spool_dir=self._folder,
            clock=system_clock,
        )
        self._builders.append(
            Builder(
                builds,
                installer,
                runtimes=list(runtimes),
                slots=slots,
                emit=self.telemetry,
                refusal=refusal,
                check=check,
                renew_seconds=0.1,
                pause_seconds=0.05,
            )
        )
        return self._builders[-1]

    async def worker(self, runtime: RuntimeName = RuntimeName.PYTHON, tenant: str = "ten_a") -> Worker:
        caller = Caller(tenant, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")
        return await self.workers.create(caller, NewWorker(name="w", runtime=runtime, source_code=HANDLER))

    async def deploy(
        self,
        worker: Worker,
        files: Mapping[str, str],
        import_check: ImportCheck | None = None,
        runtime_version: str | None = None,
    ) -> int:
        """Store a bundle as a version to be built, like a deploy."""
        entrypoint = "main.py" if worker.runtime is RuntimeName.PYTHON else "index.js"
        blob = pack(_canonical({entrypoint: HANDLER, **files}), spool_dir=self._folder)
        with contextlib.closing(blob):
            async with self.db.acquire() as db, db.transaction():
                await insert_blob(db, blob, now=system_clock())
                version: int = await db.fetchval(
                    """
                    INSERT INTO worker_versions (worker_id, version, entrypoint, status, bundle_digest, created_by,
                                                 created_at, import_check, runtime_version)
                    SELECT $1, max(version) + 1, $2, 'building', $3, 'usr_1', $4, $5, $6 FROM worker_versions
                    WHERE worker_id = $1 RETURNING version
                    """,
                    worker.id,
                    entrypoint,
                    blob.digest,
                    system_clock(),
                    import_check,
                    runtime_version,
                )
        return version

    async def state(self, worker: Worker, version: int) -> tuple[str, str | None, str | None]:
        """Return status, error and layer of a version."""
        row = await self.db.fetchrow(
            "SELECT status, error, layer_key FROM worker_versions WHERE worker_id = $1 AND version = $2",
            worker.id,
            version,
        )
        assert row is not None
        return row["status"], row["error"], row["layer_key"]

    async def ended(self, worker: Worker, version: int) -> tuple[str, str | None, str | None]:
        async with asyncio.timeout(60):
            while (state := await self.state(worker, version))[0] not in ENDED:  # noqa: ASYNC110  a row does not notify
                await asyncio.sleep(0.02)
        return state

    async def log(self, worker: Worker, version: int) -> str:
        return await fetch_build_log(self.db, worker_id=worker.id, version=version) or ""

    async def serving(self, worker: Worker) -> int:
        return (await self.workers.get(worker.tenant_id, worker.id)).version

    async def layer_files(self, key: str) -> Path:
        layer = await self.builds().layer(key)
        assert layer is not None
        return await self.folders.folder("layers", layer.digest)


async def _nothing() -> None:
    pass


async def _resolve(name: str) -> list[str]:
    if name != NAME:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return ["127.0.0.1"]


def _canonical(files: Mapping[str, str]) -> Iterator[bytes]:
    for path, text in sorted(files.items()):
        content = text.encode()
        yield canonical_header(path, kind=MemberKind.FILE, executable=False, size=len(content))
        yield content + bytes(-len(content) % BLOCK)
    yield END


@pytest.fixture
async def cluster(database: Database, host: Host, registry: LocalRegistry) -> AsyncIterator[BuildCluster]:
    registry.reset()
    with tempfile.TemporaryDirectory(prefix="runwright-builds-") as folder:
        Path(folder).chmod(0o711)
        cluster = BuildCluster(database, host, registry, Path(folder))
        try:
            yield cluster
        finally:
            registry.gate.set()
            await cluster.close()
            # A stop does not wait for threads that unpack; the folder can go only after them.
            await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_version_becomes_ready_and_active_when_its_packages_are_installed(
    cluster: BuildCluster,
) -> None:
    cluster.registry.add_wheel("colour", "1.0", "RED = 'red'\n", requires=("shade>=1",))
    cluster.registry.add_wheel("shade", "1.2", "DARK = True\n")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "colour==1.0\n"})
    before = await cluster.workers.get(worker.tenant_id, worker.id)
    await cluster.builder().start()
    status, error, key = await cluster.ended(worker, version)
    assert (status, error) == ("ready", None)
    assert key is not None
    files = await cluster.layer_files(key)
    assert (files / "python" / "colour.py").read_text() == "RED = 'red'\n"
    assert (files / "python" / "shade.py").exists()
    assert list((files / "python" / "__pycache__").glob("colour.*.pyc")), "byte code is made beforehand"
    assert await cluster.serving(worker) == version
    revision = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    assert revision == 2, "executors hear of it by the revision"
    assert (await cluster.workers.get(worker.tenant_id, worker.id)).updated_at >= before.updated_at
    assert "+ colour==1.0" in await cluster.log(worker, version)


async def test_equal_manifests_are_installed_once(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("once", "1.0", "")
    worker, other = await cluster.worker(), await cluster.worker()
    versions = [
        await cluster.deploy(w, {"requirements.txt": "once", "x.txt": str(n)})
        for n, w in enumerate((worker, worker, other))
    ]
    await cluster.builder(slots=2).start()
    ends = [await cluster.ended(w, v) for w, v in zip((worker, worker, other), versions, strict=True)]
    assert {end[0] for end in ends} == {"ready"}
    assert len({end[2] for end in ends}) == 1
    assert cluster.registry.asked["/simple/once/"] == 1
    logs = [await cluster.log(w, v) for w, v in zip((worker, worker, other), versions, strict=True)]
    assert sum("was installed before" in log for log in logs) == 2
    assert all("once==1.0" in log for log in logs)


async def test_tenants_never_share_a_layer(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("ours", "1.0", "")
    mine, theirs = await cluster.worker(tenant="ten_a"), await cluster.worker(tenant="ten_b")
    versions = [await cluster.deploy(worker, {"requirements.txt": "ours"}) for worker in (mine, theirs)]
    await cluster.builder().start()
    ends = [await cluster.ended(w, v) for w, v in zip((mine, theirs), versions, strict=True)]
    assert ends[0][2] != ends[1][2]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "nothing-of-that-name"}, "nothing-of-that-name was not found"),
        ({"requirements.txt": "real==1.0\nreal==2.0"}, "real==1.0 and real==2.0"),
        ({"requirements.txt": "real==9"}, "no version of real==9"),
        ({"requirements.txt": "needy"}, "needs-what-is-not"),
        ({"requirements.txt": "--index-url https://evil.example/simple"}, "--index-url is not allowed"),
        ({"requirements.txt": "real @ file:///etc/passwd"}, "file:///etc/passwd"),
        ({"requirements.txt": "sly"}, "sly"),
        ({"requirements.txt": "source-only"}, "no usable wheels"),
        (
            {
                "main.py": '# /// script\n# requires-python = ">=4"\n# dependencies = ["real"]\n# ///\n'
                + HANDLER
            },
            "workers run on Python 3",
        ),
    ],
)
async def test_what_cannot_be_installed_fails_with_the_reason_and_the_old_version_stays_active(
    cluster: BuildCluster, files: dict[str, str], said: str
) -> None:
    cluster.registry.add_wheel("real", "1.0", "")
    cluster.registry.add_wheel("real", "2.0", "")
    cluster.registry.add_wheel("needy", "1.0", "", requires=("needs-what-is-not",))
    cluster.registry.add_wheel(
        "sly", "1.0", "", requires=("real @ https://evil.example/real-1.0-py3-none-any.whl",)
    )
    cluster.registry.add_sdist("source-only", "1.0", "open('/build/out/python-ran', 'w')")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, files)
    await cluster.builder().start()
    status, error, key = await cluster.ended(worker, version)
    assert (status, key) == ("failed", None)
    assert error is not None
    assert said in error
    assert "/build" not in error
    assert await cluster.serving(worker) == 1


async def test_a_version_that_was_overtaken_is_ready_and_not_active(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("slow", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "slow"})
    # The active version was settled while it was being built.
    await cluster.db.execute("UPDATE workers SET settled_version = $2 WHERE id = $1", worker.id, version)
    await cluster.builder().start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    assert await cluster.serving(worker) == 1


async def test_scripts_of_npm_packages_run_only_where_the_operator_allows_it(cluster: BuildCluster) -> None:
    """The same package with the setting off and on, so that the first half can fail."""
    cluster.registry.add_npm(
        "scripted",
        "1.0.0",
        {"index.js": "module.exports = 7", "run.js": "require('fs').writeFileSync('ran', '')"},
        scripts={"postinstall": "node run.js"},
        hasInstallScript=True,
    )
    worker = await cluster.worker(RuntimeName.NODEJS)
    package = '{"dependencies": {"scripted": "1.0.0"}, "scripts": {"postinstall": "touch root-ran"}}'
    found = {}
    for scripts in (False, True):
        version = await cluster.deploy(worker, {"package.json": package, "x": str(scripts)})
        builder = cluster.builder(scripts=scripts)
        await builder.start()
        status, error, key = await cluster.ended(worker, version)
        await builder.stop()
        assert status == "ready", error
        assert key is not None
        files = await cluster.layer_files(key)
        assert (files / "node_modules" / "scripted" / "index.js").exists()
        assert not list(files.rglob("root-ran"))
        found[scripts] = (files / "node_modules" / "scripted" / "ran").exists()
    assert found == {False: False, True: True}


async def test_a_download_that_never_ends_is_given_up(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("endless", "1.0", "")
    cluster.registry.endless.add("/simple/endless/")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "endless"})
    await cluster.builder(seconds=4).start()
    status, error, _ = await cluster.ended(worker, version)
    assert status == "failed"
    assert error is not None
    assert "longer than 4 seconds" in error


async def installing(cluster: BuildCluster, worker: Worker, version: int) -> Builder:
    """A builder that is in the middle of an installation, which continues when the registry's gate opens."""
    builder = cluster.builder()
    # Its own requests come before the gate closes.
    await asyncio.to_thread(cluster.package_managers[0].find, "python")
    cluster.registry.gate.clear()
    await builder.start()
    async with asyncio.timeout(60):
        while "installing with uv" not in await cluster.log(worker, version):  # noqa: ASYNC110  a row does not notify
            await asyncio.sleep(0.02)
    return builder


async def test_the_log_is_there_while_it_is_being_built(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("gated", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "gated"})
    await installing(cluster, worker, version)
    assert (await cluster.state(worker, version))[0] == "building"
    cluster.registry.gate.set()
    assert (await cluster.ended(worker, version))[0] == "ready"


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


@pytest.mark.parametrize("which", [ImportCheck.ONLY, ImportCheck.INSTALLED])
async def test_a_version_whose_import_fails_never_serves_and_one_without_a_check_is_not_imported(
    cluster: BuildCluster, which: ImportCheck
) -> None:
    imported: list[tuple[int, bool]] = []

    async def refuse(build: Build, layer_key: str | None, _: BuildLog) -> str | None:
        imported.append((build.version, layer_key is not None))
        return "no handler"

    cluster.registry.add_wheel("checked", "1.0", "")
    files = {"requirements.txt": "checked"} if which is ImportCheck.INSTALLED else {}
    worker = await cluster.worker()
    version = await cluster.deploy(worker, files, which)
    await cluster.builder(check=refuse).start()
    assert (await cluster.ended(worker, version))[:2] == ("failed", "no handler")
    assert await cluster.serving(worker) == 1
    unchecked = await cluster.deploy(worker, files)
    assert (await cluster.ended(worker, unchecked))[0] == "ready"
    assert imported == [(version, which is ImportCheck.INSTALLED)]


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


async def test_only_runtimes_of_this_host_are_claimed(cluster: BuildCluster) -> None:
    await cluster.deploy(await cluster.worker(), {"requirements.txt": "x"})
    assert await cluster.builds().claim(["nodejs"]) is None


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


async def test_a_layer_for_interpreters_that_are_gone_is_installed_again(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("upgraded", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "upgraded"})
    await cluster.builder().start()
    _, _, key = await cluster.ended(worker, version)
    assert key is not None
    mine = await cluster.builds().layer(key)
    assert mine is not None
    woken: list[int] = []
    layers = LayerLookup(
        cluster.db,
        platform_of={"python": mine.platform}.get,
        on_building=lambda: woken.append(1),
        emit=cluster.telemetry,
    )
    assert await layers.digest(key, "python") == mine.digest
    assert await layers.digest("no such layer", "python") is None
    # As if it had been built before an upgrade.
    await cluster.db.execute("UPDATE layers SET key = 'before', platform = 'cpython-3.1' WHERE key = $1", key)
    await cluster.db.execute("UPDATE worker_versions SET layer_key = 'before' WHERE layer_key = $1", key)
    with pytest.raises(LoadError, match=r"cpython-3\.1"):
        # Built a moment ago: executors on different platforms must not rebuild it in turns.
        await layers.digest("before", "python")
    await cluster.db.execute("UPDATE builds SET ended_at = ended_at - interval '1 hour'")
    revision = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    with pytest.raises(LayerNotReadyError):
        await layers.digest("before", "python")
    assert woken
    assert await cluster.serving(worker) == version
    status, error, again = await cluster.ended(worker, version)
    assert (status, error, again) == ("ready", None, key)
    assert await cluster.serving(worker) == version
    after = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    assert after > revision, "executors hear of it by the revision"


async def test_a_change_meanwhile_is_not_undone(cluster: BuildCluster) -> None:
    """Inline source that was set later stays active when an earlier bundle becomes ready."""
    cluster.registry.add_wheel("earlier", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "earlier"})
    caller = Caller(worker.tenant_id, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")
    await cluster.workers.change(caller, worker.id, WorkerChanges(name="renamed"))
    await cluster.builder().start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    changed = await cluster.workers.get(worker.tenant_id, worker.id)
    assert (changed.name, changed.version) == ("renamed", version)
