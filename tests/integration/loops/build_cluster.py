"""Workers with bundles and builders on one database, for tests."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from runwright.builds.build_sandbox import BuildLimits, BuildSandbox
from runwright.builds.installer import Installer
from runwright.builds.package_managers import DependencySources, PackageManagers
from runwright.builds.store import Builds
from runwright.core.clock import system_clock
from runwright.core.ids import new_id
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool as Database
from runwright.loops.builder import Builder, Check
from runwright.runtimes.host import Host
from runwright.workers.bundles.blobs import insert_blob, pack
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.bundles.members import ArchiveLimits, MemberKind
from runwright.workers.bundles.tar import BLOCK, END, canonical_header
from runwright.workers.model import ImportCheck, NewWorker, RuntimeName, Worker
from runwright.workers.service import Workers
from runwright.workers.versions import fetch_build_log
from tests.bundles import no_bundles
from tests.integration.loops.registry import NAME, LocalRegistry
from tests.telemetry import RecordedTelemetry

LAYER_LIMITS = ArchiveLimits(unpacked_bytes=64 << 20, files=5000)
ENDED = frozenset({"ready", "failed"})
HANDLER = "async def handler(input, env):\n    return input\n"


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
