"""Blobs in the database: canonical archives by the digest of their content.

A blob is compressed and cut into chunks beforehand, so that storing it consists of inserts only. It
is stored completely or not at all: its row and its chunks are one transaction. Of two transactions
that store the same blob, the second waits for the first and finds the blob stored.
"""

import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from runwright.db.pool import Database, PoolConnection
from runwright.workers.bundles.members import COPY_BYTES, ArchiveError

CHUNK_BYTES: Final = 1024 * 1024
_LEVEL: Final = 4
"""Compression level: twice as fast as the default, and the result a few percent larger."""


class BlobMissingError(Exception):
    """There is no such blob, or a part of it is missing."""


class PackedBlob:
    """A blob to store: its digest, and its compressed bytes in an unnamed temporary file."""

    def __init__(self, digest: str, size_bytes: int, packed: IO[bytes]) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self.packed_bytes = packed.seek(0, os.SEEK_END)
        self.chunks = -(-self.packed_bytes // CHUNK_BYTES)
        self._packed = packed

    def chunk(self, n: int) -> bytes:
        """Return one chunk."""
        self._packed.seek(n * CHUNK_BYTES)
        return self._packed.read(CHUNK_BYTES)

    def close(self) -> None:
        """Delete the file."""
        self._packed.close()


def pack(content: Iterable[bytes], *, spool_dir: Path) -> PackedBlob:
    """Return the blob of that content; slow, so to be called in a thread."""
    digest, machine, size = hashlib.sha256(), zlib.compressobj(_LEVEL), 0
    packed = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115  the blob closes it
    try:
        for piece in content:
            digest.update(piece)
            size += len(piece)
            packed.write(machine.compress(piece))
        packed.write(machine.flush())
    except BaseException:
        packed.close()
        raise
    return PackedBlob(digest.hexdigest(), size, packed)


async def insert_blob(db: PoolConnection, blob: PackedBlob, *, now: datetime) -> bool:
    """Store a blob within the caller's transaction; False where it was stored already.

    Until the transaction ends the blob is locked, so that it is not deleted before something refers to it.
    """
    inserted = await db.fetchval(
        """
        INSERT INTO blobs (digest, size_bytes, packed_bytes, chunks, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (digest) DO UPDATE SET chunks = blobs.chunks RETURNING xmax = 0
        """,
        blob.digest,
        blob.size_bytes,
        blob.packed_bytes,
        blob.chunks,
        now,
    )
    if not inserted:
        return False
    for n in range(blob.chunks):
        await db.execute(
            "INSERT INTO blob_chunks (digest, n, data) VALUES ($1, $2, $3)", blob.digest, n, blob.chunk(n)
        )
    return True


async def fetch_blob(db: Database, digest: str, into: IO[bytes]) -> None:
    """Write a blob's compressed bytes into a file; BlobMissingError where any are missing."""
    chunks: int | None = await db.fetchval("SELECT chunks FROM blobs WHERE digest = $1", digest)
    if chunks is None:
        raise BlobMissingError(digest)
    for n in range(chunks):
        data: bytes | None = await db.fetchval(
            "SELECT data FROM blob_chunks WHERE digest = $1 AND n = $2", digest, n
        )
        if data is None:
            raise BlobMissingError(digest)
        into.write(data)


class BlobContent:
    """The content of a compressed blob as a stream; `finish` verifies its digest."""

    def __init__(self, packed: IO[bytes], digest: str) -> None:
        self._packed = packed
        self._machine = zlib.decompressobj()
        self._hash = hashlib.sha256()
        self._digest = digest

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        while not self._machine.eof:
            packed = self._machine.unconsumed_tail or self._packed.read(COPY_BYTES)
            try:
                data = self._machine.decompress(packed, size)
            except zlib.error:
                raise ArchiveError("The stored archive is damaged.") from None
            if data:
                self._hash.update(data)
                return data
            if not packed:
                raise ArchiveError("The stored archive is damaged.")
        return b""

    def finish(self) -> None:
        """Read what is left, and raise ArchiveError if the content has another digest."""
        while self.read(COPY_BYTES):
            pass
        if self._hash.hexdigest() != self._digest:
            raise ArchiveError("The stored archive is damaged.")
