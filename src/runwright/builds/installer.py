"""Makes the layer of a version: reads what it depends on, installs that in a sandbox, packs the result."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import msgspec

from runwright.builds.build_plan import make_order
from runwright.builds.build_sandbox import BuildSandbox, InstallError
from runwright.builds.errors import ManifestError
from runwright.builds.log import BuildLog
from runwright.builds.manifest import Manifest, read_manifest
from runwright.builds.model import Build, Layer, Recipe
from runwright.builds.package_managers import PackageManagers, Tool
from runwright.builds.python_manifest import python_suits
from runwright.core.clock import Clock
from runwright.sandbox.mounts import hold_folders, release_folders
from runwright.workers.bundles.archive import collect_tar
from runwright.workers.bundles.blobs import PackedBlob, pack
from runwright.workers.bundles.members import ArchiveError, Limits

Folder = Callable[[str], Awaitable[Path]]
FindLayer = Callable[[str], Awaitable[Layer | None]]


class Installed(msgspec.Struct, frozen=True):
    """A layer; `blob` is its content where it was not there before."""

    layer: Layer | None
    """None: there is nothing to install after all."""
    blob: PackedBlob | None = None


class Installer:
    """Installs on this machine."""

    def __init__(
        self,
        *,
        toolbox: PackageManagers,
        workshop: BuildSandbox,
        bundle_folder: Folder,
        layer_folder: Folder,
        find_layer: FindLayer,
        limits: Limits,
        spool_dir: Path,
        clock: Clock,
    ) -> None:
        self._toolbox = toolbox
        self._workshop = workshop
        self._bundle_folder = bundle_folder
        self._layer_folder = layer_folder
        self._find_layer = find_layer
        self._limits = limits
        self._spool_dir = spool_dir
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def install(self, build: Build, log: BuildLog) -> AsyncIterator[Installed]:
        """Give the layer of a version; who wants an equal one at once waits until the block is left.

        Raises InstallError and ManifestError, whose reasons are for the tenant and final; whatever
        else it raises is of this host and may pass.
        """
        folder = await self._bundle_folder(build.bundle_digest)
        held = hold_folders([str(folder)])
        try:
            async with self._installed(build, folder, log) as installed:
                yield installed
        finally:
            release_folders(held)

    @asynccontextmanager
    async def _installed(self, build: Build, folder: Path, log: BuildLog) -> AsyncIterator[Installed]:
        tool = await asyncio.to_thread(self._toolbox.find, build.runtime)
        manifest = await asyncio.to_thread(_read, build, folder, tool)
        if manifest is None:
            yield Installed(None)
            return
        for note in manifest.notes:
            log.note(note)
        if manifest.requires_python and not python_suits(tool.interpreter.version, manifest.requires_python):
            asked = f"requires-python is {manifest.requires_python!r}"
            raise ManifestError(f"{asked}, but workers run on Python {tool.interpreter.version} here.")
        recipe = _recipe(build, tool, manifest)
        key = recipe.key
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            found = await self._find_layer(key)
            if found is not None:
                log.write(found.log.encode())
                log.note(f"all this was installed before, at {found.created_at:%Y-%m-%d %H:%M} UTC")
                yield Installed(found)
                return
            installed = await self._make(recipe, tool, build, folder, log)
            try:
                yield installed
            finally:
                if installed.blob is not None:
                    installed.blob.close()

    async def unpack(self, layer: Layer) -> None:
        """Have a layer that is stored by now ready on this machine, for the job that is sure to come."""
        await self._layer_folder(layer.digest)

    async def _make(self, recipe: Recipe, tool: Tool, build: Build, folder: Path, log: BuildLog) -> Installed:
        manifest = recipe.manifest
        order, mounts = make_order(
            tool,
            files=manifest.files,
            bundle=str(folder) if manifest.needs_bundle else None,
            entrypoint=build.entrypoint,
        )
        log.note(f"installing with {tool.version} for {tool.platform} from {tool.registry.url}")
        with tempfile.TemporaryFile(dir=self._spool_dir) as tar:
            await self._workshop.run(order, mounts=mounts, registry=tool.registry, result=tar, log=log)
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
        return Installed(layer, blob)

    def _pack(self, tar: IO[bytes]) -> tuple[PackedBlob, int]:
        try:
            content = collect_tar(tar, self._limits, spool_dir=self._spool_dir)
        except ArchiveError as error:
            raise InstallError(f"What was installed cannot be used: {error}") from error
        try:
            return pack(content.canonical(), spool_dir=self._spool_dir), len(content.files)
        finally:
            content.close()


def _recipe(build: Build, tool: Tool, manifest: Manifest) -> Recipe:
    return Recipe(
        tenant_id=build.tenant_id,
        runtime=build.runtime,
        platform=tool.platform,
        tool=tool.version,
        registry=tool.registry.url,
        scripts=tool.scripts,
        manifest=manifest,
        bundle_digest=build.bundle_digest if manifest.needs_bundle else None,
    )


def _read(build: Build, folder: Path, tool: Tool) -> Manifest | None:
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
    return read_manifest(build.runtime, build.entrypoint, names, read, allowed=tool.may_name)
