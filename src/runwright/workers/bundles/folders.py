"""The folder cache: blobs unpacked into folders of this machine, evicted by last use.

    ROOT/bundles/DIGEST/files     a bundle's files; sandboxes mount this folder read-only
    ROOT/bundles/DIGEST/size      its approximate size on disk
    ROOT/layers/DIGEST/…          the same for installed dependencies, with an empty `code` to mount on
    ROOT/temporary/…              folders that are being made or removed

Invariants
- A folder has its final path only when it is complete and its content has the digest: it is made
  under `temporary` and renamed. Of two processes that make it at once, the second uses the first one's.
- A folder in use is never removed: a sandbox that mounts it holds a shared lock on `files`
  (`hold_folder`); removal needs the exclusive lock, and renames before it deletes. A folder that was
  requested within `GRACE_SECONDS` is not removed either: its sandbox may be about to start.
- Only this user writes below ROOT, and inside a sandbox the mount is read-only.

Failures: a crash leaves folders under `temporary`, each locked while its owner lives; the next
start removes them. A full disk fails the attempt's preparation, and the job returns to the
queue. A blob that is missing or damaged in the database is an ArchiveError or BlobMissingError.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, get_args

from runwright.db.pool import Database
from runwright.sandbox.account_files import bundle_group
from runwright.workers.bundles.blobs import BlobContent, fetch_blob
from runwright.workers.bundles.members import ArchiveError, ArchiveLimits
from runwright.workers.bundles.unpack import unpack

Area = Literal["bundles", "layers"]

GRACE_SECONDS: Final = 60.0
_STAMP_SECONDS: Final = 10.0
_AT_ONCE: Final = 2
"""Concurrent downloads; they share the database connections of the loops."""

_TEMPORARY: Final = "temporary"
_FILES: Final = "files"
_SIZE: Final = "size"
MOUNT_POINT: Final = "code"


class FolderCache:
    """Folders by digest, within a total size. Several processes may share the root."""

    def __init__(
        self, db: Database, *, root: Path, limit_bytes: int, limits: dict[Area, ArchiveLimits]
    ) -> None:
        self._db = db
        self._root = Path(os.path.abspath(root))  # noqa: PTH100  resolve() would follow links
        self._limit_bytes = limit_bytes
        self._limits = limits
        self._making: dict[tuple[Area, str], asyncio.Task[Path]] = {}
        self._stamped: dict[Path, float] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.on_made: Callable[[], None] = lambda: None
        """Called when a folder was added, so that the cache may exceed its size."""

    def open(self) -> None:
        """Create the root if it is missing, and remove what a crash left."""
        self._make_areas()
        for path in (self._root / _TEMPORARY).iterdir():
            with contextlib.suppress(OSError), _exclusively(path):
                shutil.rmtree(path, ignore_errors=True)

    async def stop(self) -> None:
        """Cancel the folders that are being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def folder(self, area: Area, digest: str) -> Path:
        """Return the folder of a blob, which is made first if it is not cached.

        Raises BlobMissingError or ArchiveError where the blob cannot be used.
        """
        place = self._root / area / digest
        if self._stamp(place):
            return place / _FILES
        making = self._making.get((area, digest))
        if making is None:
            making = asyncio.create_task(self._make(area, digest, place))
            self._making[area, digest] = making
            making.add_done_callback(lambda _: self._making.pop((area, digest), None))
        return await asyncio.shield(making)

    def _stamp(self, place: Path) -> bool:
        """Record the use of a folder; False where it does not exist."""
        now = time.monotonic()
        stamped = self._stamped.get(place)
        try:
            if stamped is None or now - stamped > _STAMP_SECONDS:
                os.utime(place)
                self._stamped[place] = now
            else:
                place.stat()
        except FileNotFoundError:
            self._stamped.pop(place, None)
            return False
        return True

    async def _make(self, area: Area, digest: str, place: Path) -> Path:
        async with self._turns:
            self._make_areas()  # the cache may have been cleared
            with tempfile.TemporaryFile(dir=self._root / _TEMPORARY) as packed:
                await fetch_blob(self._db, digest, packed)
                packed.seek(0)
                archive = BlobContent(packed, digest)
                await asyncio.to_thread(self._unpack, area, archive, place)
        self.on_made()
        return place / _FILES

    def _make_areas(self) -> None:
        for name in (*self._limits, _TEMPORARY):
            make_private_folder(self._root / name)

    def _unpack(self, area: Area, archive: BlobContent, place: Path) -> None:
        with self._temporary() as folder:
            files = folder / _FILES
            files.mkdir()
            group = bundle_group() if area == "bundles" else None
            unpacked = unpack(archive, files, self._limits[area], group=group)
            archive.finish()
            if area == "layers":
                _make_mount_point(files / MOUNT_POINT)
            (folder / _SIZE).write_text(str(unpacked.disk_bytes))
            folder.chmod(0o711)
            with contextlib.suppress(FileExistsError):
                _rename_new(folder, place)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self._root / _TEMPORARY))
        try:
            with _exclusively(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # Removal

    def evict(self) -> list[str]:
        """Remove the least recently used folders until the rest is within the limit; return their digests."""
        kept = [place for area in self._limits for place in (self._root / area).iterdir()]
        aged = sorted((stamp, place) for place in kept if (stamp := _stamp_of(place)) is not None)
        sizes = {place: _size_of(place) for _, place in aged}
        total, removed = sum(sizes.values()), []
        for stamp, place in aged:
            if total <= self._limit_bytes or time.time() - stamp < GRACE_SECONDS:
                break
            if self._remove(place, stamp):
                total -= sizes[place]
                removed.append(place.name)
        return removed

    def _remove(self, place: Path, stamp: float) -> bool:
        with contextlib.suppress(OSError), _exclusively(place / _FILES):
            if _stamp_of(place) != stamp:
                return False
            folder = Path(tempfile.mkdtemp(dir=self._root / _TEMPORARY))
            with _exclusively(folder):
                place.rename(folder / place.name)
                shutil.rmtree(folder, ignore_errors=True)
            return True
        return False


def cached_bytes(root: Path) -> int:
    """Return the size of all folders in a cache, as it was when they were unpacked."""
    return sum(_size_of(place.parent) for area in get_args(Area) for place in root.glob(f"{area}/*/{_SIZE}"))


def make_private_folder(folder: Path) -> None:
    """Create a folder and its parents, which other users may traverse but not list, if it is missing."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o711)


def _make_mount_point(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        raise ArchiveError(f"A layer must not hold anything named {MOUNT_POINT}.") from None
    folder.chmod(0o755)


def _rename_new(folder: Path, place: Path) -> None:
    """Rename a folder; FileExistsError where another process has made it already."""
    try:
        folder.rename(place)
    except OSError:
        if place.is_dir():
            raise FileExistsError(place) from None
        raise


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Lock a folder exclusively, or raise BlockingIOError at once."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _stamp_of(place: Path) -> float | None:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return None


def _size_of(place: Path) -> int:
    try:
        return int((place / _SIZE).read_text())
    except (OSError, ValueError):
        return 0
