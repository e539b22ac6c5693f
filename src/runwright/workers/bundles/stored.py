"""Reading the files of stored bundles: their list, one of them, or some of them.

The archives are streamed in threads; nothing is unpacked. Few are read at once, one for a tenant, so that
reading delays neither deploys nor other tenants.
"""

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from runwright.db.pool import Database
from runwright.workers.bundles.archive import tar_stream_members
from runwright.workers.bundles.blobs import BlobContent, fetch_blob
from runwright.workers.bundles.folders import make_private_folder
from runwright.workers.bundles.members import STORED, Member, MemberKind
from runwright.workers.bundles.tenant_turns import TenantTurns

_AT_ONCE: Final = 2
_WAIT_SECONDS: Final = 30.0


class BundleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle; the digest is the SHA-256 of its content."""

    path: str
    size_bytes: int
    executable: bool
    digest: str


class StoredBundles:
    """Opens stored bundles for reading."""

    def __init__(self, db: Database, *, spool_dir: Path) -> None:
        self._db = db
        self._spool_dir = spool_dir
        self._turns = TenantTurns(
            at_once=_AT_ONCE,
            per_tenant=1,
            wait_seconds=_WAIT_SECONDS,
            message="Too many bundles are being read; try again.",
        )

    @contextlib.asynccontextmanager
    async def open(
        self, tenant_id: str, digests: Collection[str]
    ) -> AsyncIterator[Mapping[str, "StoredBundle"]]:
        """Yield the bundles with these digests; UnavailableError where a turn takes too long to come.

        BlobMissingError where one is not stored completely.
        """
        if not digests:
            yield {}
            return
        async with self._turns.turn(tenant_id), contextlib.AsyncExitStack() as files:
            await asyncio.to_thread(make_private_folder, self._spool_dir)
            yield {digest: await self._fetch(digest, files) for digest in digests}

    async def _fetch(self, digest: str, files: contextlib.AsyncExitStack) -> "StoredBundle":
        packed: IO[bytes] = tempfile.TemporaryFile(dir=self._spool_dir)  # noqa: SIM115  the stack closes it
        files.callback(packed.close)
        await fetch_blob(self._db, digest, packed)
        return StoredBundle(packed, digest)


class VersionFileReader(Protocol):
    """Reads the files of a version. The methods may be slow: call them in a thread."""

    def files(self) -> Sequence[BundleFile]:
        """Return all files, sorted by path."""

    def read(self, limits: Mapping[str, int], /) -> Mapping[str, bytes]:
        """Return the beginning of each of these files, up to its limit in bytes, without missing ones."""

    def find(self, path: str, at_most: int, /) -> tuple[BundleFile, bytes] | None:
        """Return a file and the beginning of its content."""


class InlineSource:
    """The only file of a version with inline source."""

    def __init__(self, path: str, source: str) -> None:
        self._content = source.encode()
        self._file = BundleFile(
            path=path,
            size_bytes=len(self._content),
            executable=False,
            digest=hashlib.sha256(self._content).hexdigest(),
        )

    def files(self) -> Sequence[BundleFile]:
        return [self._file]

    def read(self, limits: Mapping[str, int]) -> Mapping[str, bytes]:
        path = self._file.path
        return {path: self._content[: limits[path]]} if path in limits else {}

    def find(self, path: str, at_most: int) -> tuple[BundleFile, bytes] | None:
        return (self._file, self._content[:at_most]) if path == self._file.path else None


class StoredBundle:
    """The archive of a bundle. ArchiveError if it is damaged."""

    def __init__(self, packed: IO[bytes], digest: str) -> None:
        self._packed = packed
        self._digest = digest

    def files(self) -> Sequence[BundleFile]:
        return [_digested(member) for member in self._members()]

    def read(self, limits: Mapping[str, int]) -> Mapping[str, bytes]:
        return {
            member.path: _beginning(member.chunks, limits[member.path])
            for member in self._members()
            if member.path in limits
        }

    def find(self, path: str, at_most: int) -> tuple[BundleFile, bytes] | None:
        for member in self._members():
            if member.path == path:
                return _with_content(member, at_most)
        return None

    def _members(self) -> Iterator[Member]:
        self._packed.seek(0)
        for member in tar_stream_members(BlobContent(self._packed, self._digest), STORED):
            if member.kind is MemberKind.FILE:
                yield member
            elif member.kind is MemberKind.LINK:  # shown as git does: a file with the path that it leads to
                yield msgspec.structs.replace(member, chunks=iter([member.target.encode()]))


def _digested(member: Member) -> BundleFile:
    return _with_content(member, 0)[0]


def _with_content(member: Member, at_most: int) -> tuple[BundleFile, bytes]:
    size, whole, content = 0, hashlib.sha256(), bytearray()
    for chunk in member.chunks:
        size += len(chunk)
        whole.update(chunk)
        content += chunk[: at_most - len(content)]
    found = BundleFile(
        path=member.path, size_bytes=size, executable=member.executable, digest=whole.hexdigest()
    )
    return found, bytes(content)


def _beginning(chunks: Iterator[bytes], at_most: int) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk[: at_most - len(content)]
    return bytes(content)
