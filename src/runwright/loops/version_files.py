"""The files of versions on this machine: folders of bundles and layers, from the folder cache."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from runwright.builds.store import build_again, fetch_layer
from runwright.db.pool import Database
from runwright.loops.pass_loop import PassLoop
from runwright.runtimes.support import interpreter_name
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.executor import CacheFoldersRemoved, LayerForOtherPlatform, VersionUnreadable
from runwright.workers.bundles.blobs import BlobMissingError
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.bundles.members import ArchiveError
from runwright.workers.store import WorkerRevision

QUIET_SECONDS: Final = 600.0
_EVICTION_SECONDS: Final = 60.0

LayerDigest = Callable[[str, str], Awaitable[str | None]]
"""Returns the blob of the layer with that key, if there is one, for the interpreter of that name."""


class VersionFolders(msgspec.Struct, frozen=True):
    """Folders of this machine that a sandbox mounts."""

    bundle: str | None = None
    layer: str | None = None


class LoadError(Exception):
    """The files of a version cannot be read; the message is for the tenant."""


class LayerNotReadyError(Exception):
    """A layer is being installed for this host; the attempt returns to the queue."""


class LayerLookup:
    """Finds the blobs of layers that fit this host's interpreters.

    A layer for other interpreters (this host's were upgraded) is installed again.
    """

    def __init__(
        self,
        db: Database,
        *,
        platform_of: Callable[[str], str | None],
        on_building: Callable[[], None],
        emit: Emit,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        """`platform_of` returns the platform of this host's interpreter of that name.

        `quiet_seconds`: how long a layer is not installed again for other interpreters.
        """
        self._db = db
        self._platform_of = platform_of
        self._on_building = on_building
        self._emit = emit
        self._quiet_seconds = quiet_seconds

    async def digest(self, key: str, interpreter: str) -> str | None:
        """Return the blob of the layer with that key for an interpreter; None where there is no such layer.

        Raises LayerNotReadyError while it is installed again, LoadError where this host cannot use it.
        """
        layer = await fetch_layer(self._db, key=key)
        if layer is None:
            return None
        if layer.platform == self._platform_of(interpreter):
            return layer.digest
        if await build_again(self._db, layer_key=key, quiet_seconds=self._quiet_seconds):
            self._emit(LayerForOtherPlatform(platform=layer.platform))
            self._on_building()
            raise LayerNotReadyError(layer.platform)
        raise LoadError(
            f"The dependencies were installed for {layer.platform}, which this executor does not have."
        )


class VersionFiles:
    """Makes the folders of versions ready, and keeps the cache within its size."""

    def __init__(self, cache: FolderCache, layer_digest: LayerDigest, *, emit: Emit) -> None:
        self._cache = cache
        self._layer_digest = layer_digest
        self._digests: dict[tuple[str, str], str] = {}
        self._emit = emit
        self.eviction = PassLoop("cache", self._evict, emit=emit)
        cache.on_made = self.eviction.wake

    async def start(self) -> None:
        """Open the cache."""
        await asyncio.to_thread(self._cache.open)
        self.eviction.start()

    async def stop(self) -> None:
        """Stop making folders ready."""
        await self.eviction.stop()
        await self._cache.stop()

    async def bundle(self, digest: str) -> Path:
        """Return the folder of a bundle."""
        return await self._cache.folder("bundles", digest)

    async def layer(self, digest: str) -> Path:
        """Return the folder of a layer."""
        return await self._cache.folder("layers", digest)

    async def folders(self, revision: WorkerRevision) -> VersionFolders:
        """Return the folders of a version; LoadError where its files can never be read."""
        if revision.bundle_digest is None:
            return VersionFolders()
        try:
            bundle = await self.bundle(revision.bundle_digest)
            if revision.layer_key is None:
                return VersionFolders(bundle=str(bundle))
            interpreter = interpreter_name(revision.runtime, revision.runtime_version)
            layer = await self.layer(await self._digest(revision.layer_key, interpreter))
        except (ArchiveError, BlobMissingError) as error:
            self._emit(VersionUnreadable(worker_id=revision.worker_id, error=str(error)))
            message = f"The files of version {revision.version} are missing or damaged in the store."
            raise LoadError(message) from error
        return VersionFolders(bundle=str(bundle), layer=str(layer))

    async def _digest(self, key: str, interpreter: str) -> str:
        digest = self._digests.get((key, interpreter)) or await self._layer_digest(key, interpreter)
        if digest is None:
            raise BlobMissingError(key)
        self._digests[key, interpreter] = digest
        return digest

    async def _evict(self) -> float:
        removed = await asyncio.to_thread(self._cache.evict)
        if removed:
            self._emit(CacheFoldersRemoved(folders=len(removed)))
        return _EVICTION_SECONDS
