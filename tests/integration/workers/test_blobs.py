"""A blob is in the database whole or not at all, once, and comes out as it went in."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.core.clock import system_clock
from runwright.db.pool import Pool
from runwright.workers.bundles.blobs import (
    CHUNK_BYTES,
    BlobContent,
    BlobMissingError,
    PackedBlob,
    fetch_blob,
    insert_blob,
    pack,
)
from runwright.workers.bundles.members import ArchiveError

CONTENT = os.urandom(2 * CHUNK_BYTES + 1234)


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[PackedBlob]:
    """A blob of three chunks."""
    with contextlib.closing(pack([CONTENT[:100], CONTENT[100:]], spool_dir=tmp_path)) as made:
        assert made.chunks == 3
        yield made


async def store(db: Pool, blob: PackedBlob) -> bool:
    async with db.acquire() as connection, connection.transaction():
        return await insert_blob(connection, blob, now=system_clock())


async def fetch(db: Pool, digest: str) -> bytes:
    with tempfile.TemporaryFile() as packed:
        await fetch_blob(db, digest, packed)
        packed.seek(0)
        content = BlobContent(packed, digest)
        parts = []
        while part := content.read(10_000):
            parts.append(part)
        content.finish()
        return b"".join(parts)


async def waiting(db: Pool) -> None:
    """Return when somebody waits for a lock."""
    async with asyncio.timeout(60):
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def count(db: Pool, table: str) -> int:
    number: int = await db.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def test_what_was_stored_is_fetched(database: Pool, blob: PackedBlob) -> None:
    assert await store(database, blob)
    assert await fetch(database, blob.digest) == CONTENT


async def test_the_same_content_is_stored_once_by_however_many_at_once(
    database: Pool, blob: PackedBlob
) -> None:
    stored = await asyncio.gather(*(store(database, blob) for _ in range(4)))
    assert sorted(stored) == [False, False, False, True]
    assert (await count(database, "blobs"), await count(database, "blob_chunks")) == (1, 3)


async def test_a_transaction_that_fails_leaves_nothing(database: Pool, blob: PackedBlob) -> None:
    async def fail() -> None:
        async with database.acquire() as connection, connection.transaction():
            await insert_blob(connection, blob, now=system_clock())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await count(database, "blobs"), await count(database, "blob_chunks")) == (0, 0)
    assert await store(database, blob)


async def test_who_waited_for_one_that_failed_stores_it(database: Pool, blob: PackedBlob) -> None:
    async with database.acquire() as first:
        transaction = first.transaction()
        await transaction.start()
        await insert_blob(first, blob, now=system_clock())
        second = asyncio.create_task(store(database, blob))
        await waiting(database)
        await transaction.rollback()
        assert await second
    assert await fetch(database, blob.digest) == CONTENT


async def test_a_blob_that_is_missing_or_not_whole_is_told(database: Pool, blob: PackedBlob) -> None:
    with pytest.raises(BlobMissingError):
        await fetch(database, blob.digest)
    await store(database, blob)
    await database.execute("DELETE FROM blob_chunks WHERE n = 1")
    with pytest.raises(BlobMissingError):
        await fetch(database, blob.digest)


@pytest.mark.parametrize(
    "change", ["overlay(data placing '\\xffff'::bytea from 300)", "substring(data for 10)"]
)
async def test_a_blob_that_was_changed_is_told(database: Pool, blob: PackedBlob, change: str) -> None:
    await store(database, blob)
    await database.execute(f"UPDATE blob_chunks SET data = {change} WHERE n = 2")
    with pytest.raises(ArchiveError, match="damaged"):
        await fetch(database, blob.digest)


async def test_another_blob_under_its_name_is_told(database: Pool, tmp_path: Path, blob: PackedBlob) -> None:
    await store(database, blob)
    with contextlib.closing(pack([b"other"], spool_dir=tmp_path)) as other:
        await database.execute("DELETE FROM blob_chunks WHERE n > 0")
        await database.execute("UPDATE blobs SET chunks = 1")
        await database.execute("UPDATE blob_chunks SET data = $1", other.chunk(0))
    with pytest.raises(ArchiveError, match="damaged"):
        await fetch(database, blob.digest)
