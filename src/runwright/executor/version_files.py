"""The files of versions on this machine: bundles and layers out of the cache of folders."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from runwright.executor.preparation import Folders, LoadError
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import CacheFoldersRemoved, VersionUnreadable
from runwright.workers.bundles.blobs import BlobMissingError
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.bundles.members import ArchiveError
from runwright.workers.store import Definition

_ROOM_SECONDS: Final = 60.0

LayerDigest = Callable[[str], Awaitable[str | None]]
"""Returns the blob of the layer of that key, if there is one."""


class CachedFiles:
    """Makes the folders of versions ready, and keeps the cache within its size."""

    def __init__(self, cache: FolderCache, layer_digest: LayerDigest, *, emit: Emit) -> None:
        self._cache = cache
        self._layer_digest = layer_digest
        self._digests: dict[str, str] = {}
        self._emit = emit
        self.room = PassLoop("cache", self._make_room, emit=emit)
        cache.on_made = self.room.wake

    async def start(self) -> None:
        """Open the cache."""
        await asyncio.to_thread(self._cache.open)
        self.room.start()

    async def stop(self) -> None:
        """Make nothing more ready."""
        await self.room.stop()
        await self._cache.stop()

    async def bundle(self, digest: str) -> Path:
        """Return the folder of a bundle."""
        return await self._cache.folder("bundles", digest)

    async def layer(self, digest: str) -> Path:
        """Return the folder of a layer."""
        return await self._cache.folder("layers", digest)

    async def folders(self, definition: Definition) -> Folders:
        """Return the folders of a version; LoadError where its files can never be had."""
        if definition.bundle_digest is None:
            return Folders()
        try:
            bundle = await self.bundle(definition.bundle_digest)
            if definition.layer_key is None:
                return Folders(bundle=str(bundle))
            layer = await self.layer(await self._digest(definition.layer_key))
        except (ArchiveError, BlobMissingError) as error:
            self._emit(VersionUnreadable(worker_id=definition.worker_id, error=str(error)))
            message = f"The files of version {definition.version} are missing or damaged in the store."
            raise LoadError(message) from error
        return Folders(bundle=str(bundle), layer=str(layer))

    async def _digest(self, key: str) -> str:
        digest = self._digests.get(key) or await self._layer_digest(key)
        if digest is None:
            raise BlobMissingError(key)
        self._digests[key] = digest
        return digest

    async def _make_room(self) -> float:
        removed = await asyncio.to_thread(self._cache.make_room)
        if removed:
            self._emit(CacheFoldersRemoved(folders=len(removed)))
        return _ROOM_SECONDS
