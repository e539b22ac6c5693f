"""Build the layer of a version: read its manifests, install in a sandbox, pack the result."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import msgspec

from runwright.builds.build_plan import make_plan
from runwright.builds.build_sandbox import BuildSandbox
from runwright.builds.errors import InstallError, ManifestError
from runwright.builds.log import BuildLog
from runwright.builds.manifest import Manifest, has_dependencies, read_manifest
from runwright.builds.model import Build, Layer, Recipe
from runwright.builds.package_managers import RUNTIMES_WITH_DEPENDENCIES, PackageManager, PackageManagers
from runwright.builds.python_manifest import satisfies_python
from runwright.core.clock import Clock
from runwright.sandbox.mounts import hold_folders, release_folders
from runwright.workers.bundles.archive import collect_tar
from runwright.workers.bundles.blobs import PackedBlob, pack
from runwright.workers.bundles.members import ArchiveError, ArchiveLimits
from runwright.workers.bundles.reader import ReadFile

OpenFolder = Callable[[str], Awaitable[Path]]
FindLayer = Callable[[str], Awaitable[Layer | None]]


class InstalledLayer(msgspec.Struct, frozen=True):
    """A layer; `blob` is its content unless the layer existed before."""

    layer: Layer | None
    """None: the version has no dependencies."""
    blob: PackedBlob | None = None


class Installer:
    """Installs the dependencies of versions on this host."""

    def __init__(  # noqa: PLR0913  one for each thing that it needs of the host
        self,
        *,
        package_managers: PackageManagers,
        build_sandbox: BuildSandbox,
        bundle_folder: OpenFolder,
        layer_folder: OpenFolder,
        find_layer: FindLayer,
        limits: ArchiveLimits,
        spool_dir: Path,
        clock: Clock,
        refusal: str | None = None,
    ) -> None:
        """`refusal` is why this host cannot install anything."""
        self._refusal = refusal
        self._package_managers = package_managers
        self._build_sandbox = build_sandbox
        self._bundle_folder = bundle_folder
        self._layer_folder = layer_folder
        self._find_layer = find_layer
        self._limits = limits
        self._spool_dir = spool_dir
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def install(self, build: Build, log: BuildLog) -> AsyncIterator[InstalledLayer]:
        """Yield the layer of a version; builds of an equal layer wait until the block ends.

        Raises InstallError and ManifestError, which are final and whose messages are for the tenant;
        other errors are of this host and may be temporary.
        """
        folder = await self._bundle_folder(build.bundle_digest)
        held = hold_folders([str(folder)])
        try:
            async with self._installed(build, folder, log) as installed:
                yield installed
        finally:
            release_folders(held)

    @asynccontextmanager
    async def _installed(self, build: Build, folder: Path, log: BuildLog) -> AsyncIterator[InstalledLayer]:
        if not await asyncio.to_thread(_has_dependencies, build, folder):
            yield InstalledLayer(None)
            return
        if self._refusal is not None:
            raise InstallError(self._refusal)
        manager = await asyncio.to_thread(self._package_managers.find, build.interpreter)
        manifest = await asyncio.to_thread(_read, build, folder, manager)
        if manifest is None:
            yield InstalledLayer(None)
            return
        for note in manifest.notes:
            log.note(note)
        if manifest.requires_python and not satisfies_python(
            manager.interpreter.version, manifest.requires_python
        ):
            required = f"requires-python is {manifest.requires_python!r}"
            raise ManifestError(f"{required}, but workers run on Python {manager.interpreter.version} here.")
        recipe = _recipe(build, manager, manifest)
        key = recipe.key
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = await self._find_layer(key)
            if found is not None:
                log.write(found.log.encode())
                log.note(f"all this was installed before, at {found.created_at:%Y-%m-%d %H:%M} UTC")
                yield InstalledLayer(found)
                return
            installed = await self._build(recipe, manager, build, folder, log)
            try:
                yield installed
            finally:
                if installed.blob is not None:
                    installed.blob.close()

    async def unpack(self, layer: Layer) -> None:
        """Unpack a stored layer on this host, so that the first job does not wait for it."""
        await self._layer_folder(layer.digest)

    async def _build(
        self, recipe: Recipe, manager: PackageManager, build: Build, folder: Path, log: BuildLog
    ) -> InstalledLayer:
        manifest = recipe.manifest
        plan, mounts = make_plan(
            manager,
            files=manifest.files,
            bundle=str(folder) if manifest.needs_bundle else None,
            entrypoint=build.entrypoint,
        )
        log.note(f"installing with {manager.version} for {manager.platform} from {manager.registry.url}")
        if not manager.registry.complete:
            log.note("the index did not answer this server, so the hosts of its files are not known")
        with tempfile.TemporaryFile(dir=self._spool_dir) as tar:
            await self._build_sandbox.run(plan, mounts=mounts, registry=manager.registry, result=tar, log=log)
            tar.seek(0)
            blob, files = await asyncio.to_thread(self._pack, tar)
        log.note(f"installed {files} files, {blob.size_bytes} bytes")
        layer = Layer(
            key=recipe.key,
            tenant_id=recipe.tenant_id,
            platform=recipe.platform,
            digest=blob.digest,
            size_bytes=blob.size_bytes,
            files=files,
            log=log.text(),
            created_at=self._clock(),
        )
        return InstalledLayer(layer, blob)

    def _pack(self, tar: IO[bytes]) -> tuple[PackedBlob, int]:
        try:
            content = collect_tar(tar, self._limits, spool_dir=self._spool_dir)
        except ArchiveError as error:
            raise InstallError(f"What was installed cannot be used: {error}") from error
        try:
            return pack(content.canonical(), spool_dir=self._spool_dir), len(content.files)
        finally:
            content.close()


def _recipe(build: Build, manager: PackageManager, manifest: Manifest) -> Recipe:
    return Recipe(
        tenant_id=build.tenant_id,
        runtime=build.runtime,
        platform=manager.platform,
        tool=manager.version,
        registry=manager.registry.url,
        scripts=manager.scripts,
        manifest=manifest,
        bundle_digest=build.bundle_digest if manifest.needs_bundle else None,
    )


def _has_dependencies(build: Build, folder: Path) -> bool:
    if build.runtime not in RUNTIMES_WITH_DEPENDENCIES:
        return False
    return has_dependencies(build.runtime, build.entrypoint, *_files(folder))


def _read(build: Build, folder: Path, manager: PackageManager) -> Manifest | None:
    return read_manifest(build.runtime, build.entrypoint, *_files(folder), allowed=manager.allows_url)


def _files(folder: Path) -> tuple[list[str], ReadFile]:
    """Return the paths in a folder, and what reads one of them."""

    def read(path: str, /, *, at_most: int) -> bytes | None:
        try:
            fd = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(at_most)

    names = [
        str(Path(where, name).relative_to(folder)) for where, _, files in os.walk(folder) for name in files
    ]
    return names, read
