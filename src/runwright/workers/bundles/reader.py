"""Reads uploaded and stored bundles, checks their entrypoint and finds out whether they need a layer."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from runwright.core.entrypoint import check_entrypoint
from runwright.core.errors import InvalidError
from runwright.db.pool import Database
from runwright.workers.bundles.archive import Bundle, collect_bundle, collect_tar
from runwright.workers.bundles.blobs import BlobContent, PackedBlob, fetch_blob, pack
from runwright.workers.bundles.folders import make_private_folder
from runwright.workers.bundles.members import STORED, ArchiveError, ArchiveLimits, shown
from runwright.workers.model import ImportCheck, NewVersion, VersionStatus

_AT_ONCE: Final = 2
"""Archives read and packed at once; each takes a processor and a database connection."""

_CANDIDATES: Final = 5
_EXTENSIONS: Final = {
    "python": (".py",),
    "nodejs": (".js", ".mjs", ".cjs"),
    "deno": (".ts", ".tsx", ".mts", ".js", ".mjs"),
    "shell": (".sh", ".bash"),
    "wasm": (".wasm", ".wat"),
}


class ReadFile(Protocol):
    """Reads a file of a bundle."""

    def __call__(self, path: str, /, *, at_most: int) -> bytes | None:
        """Return the beginning of a file; None where there is no such file."""


NeedsLayer = Callable[[str, str, Collection[str], ReadFile], bool]
"""Returns whether a bundle of this runtime, entrypoint, paths and files has dependencies to install."""


class ExaminedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a bundle with an entrypoint."""

    digest: str
    entrypoint: str
    size_bytes: int
    files: int
    needs_layer: bool


class BundleReader:
    """Reads bundles in threads, few at a time."""

    def __init__(
        self,
        db: Database,
        *,
        limits: ArchiveLimits,
        spool_dir: Path,
        needs_layer: NeedsLayer = lambda _runtime, _entrypoint, _paths, _read: False,
    ) -> None:
        self._db = db
        self._limits = limits
        self._spool_dir = spool_dir
        self._needs_layer = needs_layer
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @contextlib.asynccontextmanager
    async def packed(
        self, archive: IO[bytes], *, runtime: str, entrypoint: str
    ) -> AsyncIterator[tuple[ExaminedBundle, PackedBlob]]:
        """Yield an archive as a blob to store. InvalidError is about `bundle` or `entrypoint`."""
        async with self._turns:
            examined, blob = await asyncio.to_thread(self._pack, archive, runtime, entrypoint)
            with contextlib.closing(blob):
                yield examined, blob

    async def stored(self, digest: str, *, runtime: str, entrypoint: str) -> ExaminedBundle:
        """Return the properties of a stored bundle. InvalidError is about `entrypoint`."""
        async with self._turns:
            make_private_folder(self._spool_dir)
            with tempfile.TemporaryFile(dir=self._spool_dir) as packed:
                await fetch_blob(self._db, digest, packed)
                packed.seek(0)
                return await asyncio.to_thread(self._read_stored, packed, digest, runtime, entrypoint)

    def _pack(self, archive: IO[bytes], runtime: str, entrypoint: str) -> tuple[ExaminedBundle, PackedBlob]:
        make_private_folder(self._spool_dir)
        try:
            whole = collect_bundle(archive, self._limits, spool_dir=self._spool_dir)
        except ArchiveError as error:
            raise InvalidError({"bundle": [str(error)]}) from None
        with contextlib.closing(whole):
            bundle = _without_top_folder(whole, entrypoint)
            require_entrypoint(bundle, runtime, entrypoint)
            blob = pack(bundle.canonical(), spool_dir=self._spool_dir)
            return self._examine(bundle, blob.digest, runtime, entrypoint), blob

    def _read_stored(self, packed: IO[bytes], digest: str, runtime: str, entrypoint: str) -> ExaminedBundle:
        content = BlobContent(packed, digest)
        with contextlib.closing(collect_tar(content, STORED, spool_dir=self._spool_dir)) as bundle:
            content.finish()
            require_entrypoint(bundle, runtime, entrypoint)
            return self._examine(bundle, digest, runtime, entrypoint)

    def _examine(self, bundle: Bundle, digest: str, runtime: str, entrypoint: str) -> ExaminedBundle:
        return ExaminedBundle(
            digest=digest,
            entrypoint=entrypoint,
            size_bytes=bundle.size_bytes,
            files=len(bundle.files),
            needs_layer=self._needs_layer(runtime, entrypoint, bundle.files, bundle.read),
        )


def _without_top_folder(bundle: Bundle, entrypoint: str) -> Bundle:
    """Return the content of the only top-level folder (as of a repository), if the entrypoint is in it."""
    folder = bundle.sole_folder()
    if folder is None or entrypoint in bundle.files or f"{folder}/{entrypoint}" not in bundle.files:
        return bundle
    return bundle.within(folder)


def require_entrypoint(bundle: Bundle, runtime: str, entrypoint: str) -> None:
    """Raise InvalidError unless the entrypoint is a runnable file of the bundle."""
    problem = check_entrypoint(entrypoint)
    if problem is not None:
        raise InvalidError({"entrypoint": [f"{problem}."]})
    if entrypoint in bundle.files and bundle.files[entrypoint].target is not None:
        text = f'"{shown(entrypoint)}" is a symbolic link; name the file that it leads to.'
        raise InvalidError({"entrypoint": [text]})
    if entrypoint in bundle.files:
        return
    message = f'The bundle has no file "{shown(entrypoint)}".'
    if candidates := _candidates(bundle, runtime):
        message += f" It could be: {', '.join(map(shown, candidates))}."
    raise InvalidError({"entrypoint": [message]})


def _candidates(bundle: Bundle, runtime: str) -> list[str]:
    folder = bundle.sole_folder()
    files = (bundle if folder is None else bundle.within(folder)).files
    fitting = [path for path in files if path.endswith(_EXTENSIONS.get(runtime, ()))]
    fitting = [path for path in fitting if check_entrypoint(path) is None]
    return sorted(fitting, key=lambda path: (path.count("/"), path))[:_CANDIDATES]


def bundled_version(
    worker_id: str,
    number: int,
    examined: ExaminedBundle,
    *,
    created_by: str,
    now: datetime,
    runtime_version: str | None,
    check: bool = False,
) -> NewVersion:
    """Return a version of a bundle; it is `building` where it needs a layer, or a `check` of its import."""
    after = ImportCheck.INSTALLED if examined.needs_layer else ImportCheck.ONLY
    return NewVersion(
        worker_id=worker_id,
        version=number,
        entrypoint=examined.entrypoint,
        runtime_version=runtime_version,
        status=VersionStatus.BUILDING if examined.needs_layer or check else VersionStatus.READY,
        import_check=after if check else None,
        digest=examined.digest,
        size_bytes=examined.size_bytes,
        files=examined.files,
        created_by=created_by,
        created_at=now,
    )
