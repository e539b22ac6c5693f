"""Blobs as folders of this machine, unpacked once and kept while they are used.

    ROOT/bundles/DIGEST/files     a bundle's files; sandboxes mount this folder read-only
    ROOT/bundles/DIGEST/size      what it takes on the disk, about
    ROOT/layers/DIGEST/…          the same for installed dependencies, with an empty `code` to mount on
    ROOT/temporary/…              what is being made, or being removed

Invariants
- A folder has its place only when it is whole and its content has the digest: it is made under
  `temporary` and renamed. Of two who make it at once, the second finds the first one's.
- A folder in use is never removed: who mounts it holds a shared lock on `files` (`hold_folder`)
  while it does; removal needs the exclusive one, and renames before it deletes. One that was
  asked for within `GRACE_SECONDS` is not removed either: its sandbox may be about to start.
- Nobody but this user writes below ROOT, and inside a sandbox the mount is read-only.

Failures: a crash leaves something under `temporary`, which holds a lock while its owner lives;
the next start removes it. A full disk fails the attempt's preparation, and the job goes back in
line. A blob that is missing or damaged in the database is an ArchiveError or BlobMissingError.
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
from typing import Final, Literal

from runwright.db.pool import Database
from runwright.workers.bundles.blobs import Unpacking, fetch_blob
from runwright.workers.bundles.members import ArchiveError, Limits
from runwright.workers.bundles.unpack import unpack

Area = Literal["bundles", "layers"]

GRACE_SECONDS: Final = 60.0
_STAMP_SECONDS: Final = 10.0
_AT_ONCE: Final = 2
"""Fetches; they share the database connections of the engine."""

_TEMPORARY: Final = "temporary"
_FILES: Final = "files"
_SIZE: Final = "size"
MOUNT_POINT: Final = "code"


class FolderCache:
    """Folders by digest, within a total size. Several processes may share the root."""

    def __init__(self, db: Database, *, root: Path, limit_bytes: int, limits: dict[Area, Limits]) -> None:
        self._db = db
        self._root = Path(os.path.abspath(root))  # noqa: PTH100  resolve() would follow links
        self._limit_bytes = limit_bytes
        self._limits = limits
        self._making: dict[tuple[Area, str], asyncio.Task[Path]] = {}
        self._stamped: dict[Path, float] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.on_made: Callable[[], None] = lambda: None
        """Called when there is a new folder, and so perhaps too many."""

    def open(self) -> None:
        """Make the root where it is missing, and remove what a crash left."""
        self._make_areas()
        for path in (self._root / _TEMPORARY).iterdir():
            with contextlib.suppress(OSError), _exclusively(path):
                shutil.rmtree(path, ignore_errors=True)

    async def stop(self) -> None:
        """Give up what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def folder(self, area: Area, digest: str) -> Path:
        """Return the folder of a blob, made ready if it is not there.

        Raises BlobMissingError and ArchiveError where it can never be.
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
        """Note that a folder is wanted now; False where it is not there."""
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
            self._make_areas()  # somebody may have cleared the cache
            with tempfile.TemporaryFile(dir=self._root / _TEMPORARY) as packed:
                await fetch_blob(self._db, digest, packed)
                packed.seek(0)
                archive = Unpacking(packed, digest)
                await asyncio.to_thread(self._unpack, area, archive, place)
        self.on_made()
        return place / _FILES

    def _make_areas(self) -> None:
        for name in (*self._limits, _TEMPORARY):
            make_private_folder(self._root / name)

    def _unpack(self, area: Area, archive: Unpacking, place: Path) -> None:
        with self._temporary() as folder:
            files = folder / _FILES
            files.mkdir()
            unpacked = unpack(archive, files, self._limits[area])
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

    def make_room(self) -> list[str]:
        """Remove the folders that were not wanted for longest, until the rest is within the limit."""
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


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it, that others may pass and not look into, where it is missing."""
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
    """Rename a folder; FileExistsError where somebody was faster."""
    try:
        folder.rename(place)
    except OSError:
        if place.is_dir():
            raise FileExistsError(place) from None
        raise


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Hold a folder alone, or raise BlockingIOError at once."""
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
