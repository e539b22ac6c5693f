"""The files of worker versions on this machine."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from runwright.builds.package_managers import platform_of
from runwright.config import Settings
from runwright.executor.version_files import LayerLookup, VersionFiles
from runwright.wiring.resources import Resources
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.bundles.members import STORED, ArchiveLimits

LAYER_LIMITS: Final = ArchiveLimits(unpacked_bytes=512 * 1024 * 1024, files=50_000, links=True)


async def open_files(f: Resources, stack: AsyncExitStack) -> VersionFiles:
    """Open the cache of bundles and dependency layers."""
    layers = LayerLookup(
        f.db,
        platforms=frozenset(platform_of(interpreter) for interpreter in f.host.interpreters.values()),
        on_building=do_nothing,
        emit=f.emit,
    )
    cache = FolderCache(
        f.db,
        root=cache_dir(f.settings),
        limit_bytes=f.settings.cache_limit_bytes,
        limits={"bundles": STORED, "layers": LAYER_LIMITS},
    )
    files = VersionFiles(cache, layers.digest, emit=f.emit)
    stack.push_async_callback(files.stop)
    await files.start()
    return files


def do_nothing() -> None:
    """Do nothing: builders in other processes find new builds by polling."""


def cache_dir(settings: Settings) -> Path:
    return settings.cache_dir or settings.data_dir / "cache"


def spool_dir_in(settings: Settings) -> Path:
    return cache_dir(settings) / "spool"
