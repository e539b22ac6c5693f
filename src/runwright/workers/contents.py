"""The files of versions, and what differs between two versions.

A version with inline source has one file, its entrypoint. Files are compared by their digests; of those that
differ and are small texts, a unified diff is made in the process beside the event loop.
"""

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from runwright.core.errors import NotFoundError, UnavailableError
from runwright.core.ids import WorkerId
from runwright.db.pool import Database
from runwright.offload.client import Offload, OffloadError
from runwright.offload.functions import DiffedText, DiffResult, DiffTask, TextPair
from runwright.workers.bundles.stored import BundleFile, InlineSource, StoredBundles, VersionFileReader
from runwright.workers.model import Version
from runwright.workers.versions import fetch_version, no_version

MOST_READ_BYTES: Final = 512 * 1024
"""Of a file, in one answer."""

MOST_DIFFED_FILES: Final = 500
MOST_DIFFED_BYTES: Final = 256 * 1024
"""Of a file whose lines are compared."""

MOST_DIFFED_TOTAL_BYTES: Final = 4 * 1024 * 1024
MOST_DIFF_CHARACTERS: Final = 1024 * 1024
"""Of all diffs in one answer."""

DIFF_STEPS: Final = 1_000_000
"""For all diffs in one answer; they take about half a second."""


class FileChange(StrEnum):
    """What happened to a file between two versions."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


class DiffOmission(StrEnum):
    """Why there is no diff of a changed file."""

    BINARY = "binary"
    TOO_LARGE = "too_large"
    """The file, or all changed files together."""
    ANSWER_FULL = "answer_full"


class FileListing(msgspec.Struct, frozen=True, kw_only=True):
    """A window of a version's files, sorted by path."""

    version: Version
    files: Sequence[BundleFile]
    total: int
    next_after: str | None


class FileContent(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version, and the beginning of its content."""

    version: Version
    file: BundleFile
    content: bytes


class FileDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A file that differs: as it was and as it is, and the diff, or why there is none."""

    path: str
    old: BundleFile | None
    new: BundleFile | None
    diff: str | None = None
    added_lines: int | None = None
    removed_lines: int | None = None
    omitted: DiffOmission | None = None

    @property
    def change(self) -> FileChange:
        """Return what happened to the file."""
        if self.old is None:
            return FileChange.ADDED
        return FileChange.REMOVED if self.new is None else FileChange.MODIFIED


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The files that differ between two versions, sorted by path; the first ones of `total`."""

    old: Version
    new: Version
    files: Sequence[FileDiff]
    total: int


class VersionContents:
    """Reads and compares the files of versions."""

    def __init__(self, db: Database, bundles: StoredBundles, offload: Offload) -> None:
        self._db = db
        self._bundles = bundles
        self._offload = offload

    async def files(
        self, tenant_id: str, worker_id: WorkerId, number: int, *, after: str, limit: int
    ) -> FileListing:
        """Return up to `limit` files whose paths follow `after`."""
        version = await self._find(tenant_id, worker_id, number)
        async with self._open(tenant_id, version) as [reader]:
            files = await asyncio.to_thread(reader.files)
        window = [file for file in files if file.path > after][: limit + 1]
        more = len(window) > limit
        return FileListing(
            version=version,
            files=window[:limit],
            total=len(files),
            next_after=window[limit - 1].path if more else None,
        )

    async def file(self, tenant_id: str, worker_id: WorkerId, number: int, path: str) -> FileContent:
        """Return a file with its first MOST_READ_BYTES; NotFoundError where there is none at this path."""
        version = await self._find(tenant_id, worker_id, number)
        async with self._open(tenant_id, version) as [reader]:
            found = await asyncio.to_thread(reader.find, path, MOST_READ_BYTES)
        if found is None:
            raise NotFoundError(f"Version {number} has no file at this path.")
        return FileContent(version=version, file=found[0], content=found[1])

    async def diff(self, tenant_id: str, worker_id: WorkerId, old: int, new: int) -> VersionDiff:
        """Return what differs between two versions."""
        before = await self._find(tenant_id, worker_id, old)
        after = await self._find(tenant_id, worker_id, new)
        async with self._open(tenant_id, before, after) as [one, other]:
            found = await asyncio.to_thread(_compare, one, other)
        files = await self._with_diffs(tenant_id, found.changed, found.pairs)
        return VersionDiff(old=before, new=after, files=files, total=found.total)

    async def _with_diffs(
        self, tenant_id: str, changed: Sequence[FileDiff], pairs: Sequence[TextPair]
    ) -> Sequence[FileDiff]:
        """Return the files with the diffs of those that are among the pairs."""
        if not pairs:
            return changed
        task = msgspec.msgpack.encode(
            DiffTask(files=list(pairs), steps=DIFF_STEPS, characters=MOST_DIFF_CHARACTERS)
        )
        try:
            answer = await self._offload.call(tenant_id, "diff", task)
        except OffloadError as error:
            raise UnavailableError(f"The versions cannot be compared now: {error}.") from None
        done = msgspec.msgpack.decode(answer, type=DiffResult)
        by_path = dict(zip((pair.path for pair in pairs), done.diffs, strict=True))
        return [_with_diff(file, by_path[file.path]) if file.path in by_path else file for file in changed]

    @contextlib.asynccontextmanager
    async def _open(self, tenant_id: str, *versions: Version) -> AsyncIterator[Sequence[VersionFileReader]]:
        digests = {version.digest for version in versions if version.digest is not None}
        async with self._bundles.open(tenant_id, digests) as bundles:
            yield [
                InlineSource(version.entrypoint, version.source_code or "")
                if version.digest is None
                else bundles[version.digest]
                for version in versions
            ]

    async def _find(self, tenant_id: str, worker_id: WorkerId, number: int) -> Version:
        found = await fetch_version(self._db, tenant_id=tenant_id, worker_id=worker_id, version=number)
        if found is None:
            raise no_version()
        return found


class _Comparison(msgspec.Struct, frozen=True):
    """The first files that differ, with the texts of those whose lines are compared, and how many differ."""

    changed: Sequence[FileDiff]
    pairs: Sequence[TextPair]
    total: int


def _compare(old: VersionFileReader, new: VersionFileReader) -> _Comparison:
    """Read two versions twice: first what they have, then the texts that are worth a diff."""
    changed = _changed(old.files(), new.files())
    shown = changed[:MOST_DIFFED_FILES]
    limits = _read_limits(shown)
    before, after = old.read(limits), new.read(limits)
    pairs, marked = [], []
    for file in shown:
        pair = None
        if file.path in limits:
            pair = _text_pair(file, before.get(file.path, b""), after.get(file.path, b""))
        if pair is not None:
            pairs.append(pair)
            marked.append(file)
        else:
            omitted = DiffOmission.BINARY if file.path in limits else DiffOmission.TOO_LARGE
            marked.append(msgspec.structs.replace(file, omitted=omitted))
    return _Comparison(marked, pairs, len(changed))


def _changed(old: Sequence[BundleFile], new: Sequence[BundleFile]) -> Sequence[FileDiff]:
    """Return the files that are not in both versions with the same content and mode."""
    before, after = ({file.path: file for file in files} for files in (old, new))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [FileDiff(path=path, old=before.get(path), new=after.get(path)) for path in paths]


def _read_limits(changed: Sequence[FileDiff]) -> dict[str, int]:
    """Return the sizes of the files that are small enough, each and together, for a diff."""
    limits: dict[str, int] = {}
    left = MOST_DIFFED_TOTAL_BYTES
    for file in changed:
        sizes = [side.size_bytes for side in (file.old, file.new) if side is not None]
        if max(sizes) <= MOST_DIFFED_BYTES and sum(sizes) <= left:
            left -= sum(sizes)
            limits[file.path] = max(sizes)
    return limits


def _text_pair(file: FileDiff, old: bytes, new: bytes) -> TextPair | None:
    """Return both texts of a file; None where one of them is no text."""
    before, after = read_text(old), read_text(new)
    return None if before is None or after is None else TextPair(file.path, before, after)


def read_text(content: bytes, *, cut: bool = False) -> str | None:
    """Return content as text; None if it is not UTF-8 or has the character NUL. `cut`: its end is missing."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=not cut)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _with_diff(file: FileDiff, found: DiffedText) -> FileDiff:
    omitted = DiffOmission.ANSWER_FULL if found.diff is None else None
    return msgspec.structs.replace(
        file, diff=found.diff, added_lines=found.added, removed_lines=found.removed, omitted=omitted
    )
