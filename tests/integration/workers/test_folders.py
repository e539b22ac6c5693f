"""Folders appear whole or not at all, are made once, and are never removed under a sandbox."""

import asyncio
import contextlib
import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.core.clock import system_clock
from runwright.db.pool import Pool
from runwright.sandbox.account_files import BUNDLE_GROUP, bundle_group
from runwright.sandbox.mounts import hold_folders, release_folders
from runwright.workers.bundles.archive import collect_bundle, collect_tar
from runwright.workers.bundles.blobs import BlobMissingError, insert_blob, pack
from runwright.workers.bundles.folders import Area, FolderCache
from runwright.workers.bundles.members import ArchiveError, ArchiveLimits
from tests.integration.workers.archives import tar_info, tar_with, zip_of
from tests.integration.workers.test_blobs import waiting

LIMITS = ArchiveLimits(unpacked_bytes=8 * 1024 * 1024, files=100)
LAYER_LIMITS = ArchiveLimits(unpacked_bytes=8 * 1024 * 1024, files=100)
FILES: dict[str, str | bytes] = {"main.py": "x = 1", "app/data/a.txt": "hello" * 5000}


@pytest.fixture
def root() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="runwright-folders-", dir="/tmp"))
    yield made / "cache"
    shutil.rmtree(made)


def open_cache(db: Pool, root: Path, limit_bytes: int = 1 << 30) -> FolderCache:
    cache = FolderCache(
        db, root=root, limit_bytes=limit_bytes, limits={"bundles": LIMITS, "layers": LAYER_LIMITS}
    )
    cache.open()
    return cache


async def store(db: Pool, content: bytes) -> str:
    """Store an archive as it is and return its digest."""
    with (
        tempfile.TemporaryDirectory() as spool,
        contextlib.closing(pack([content], spool_dir=Path(spool))) as blob,
    ):
        async with db.acquire() as connection, connection.transaction():
            await insert_blob(connection, blob, now=system_clock())
        return blob.digest


async def store_files(db: Pool, files: dict[str, str | bytes]) -> str:
    with tempfile.TemporaryDirectory() as spool:
        bundle = collect_bundle(io.BytesIO(zip_of(files)), LIMITS, spool_dir=Path(spool))
        with contextlib.closing(bundle):
            return await store(db, b"".join(bundle.canonical()))


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def age(root: Path, digest: str, seconds: float) -> None:
    """Make a folder look as if it had been wanted that long ago."""
    place = root / "bundles" / digest
    at = place.stat().st_mtime - seconds
    os.utime(place, (at, at))


async def test_a_bundle_becomes_a_folder_that_everyone_may_read_and_no_user_of_the_host_write(
    database: Pool, root: Path
) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root)
    folder = await cache.folder("bundles", digest)
    assert entries(folder) == ["app", "app/data", "app/data/a.txt", "main.py"]
    assert (folder / "app/data/a.txt").read_text() == FILES["app/data/a.txt"]
    for path in (folder, *folder.rglob("*")):
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) & ~0o020 == (0o755 if path.is_dir() else 0o644)
        # The group is that of sandboxes, whose writes go to a layer of their own.
        assert bool(found.st_mode & 0o020) == (bundle_group() is not None)
        assert found.st_gid == (bundle_group() or root.stat().st_gid)
    assert stat.S_IMODE(root.stat().st_mode) == 0o711, "others pass, and cannot look around"
    assert stat.S_IMODE((root / "bundles").stat().st_mode) == 0o711
    assert list((root / "temporary").iterdir()) == []
    await cache.stop()


async def test_the_umask_changes_nothing(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    before = os.umask(0o077)
    try:
        folder = await open_cache(database, root).folder("bundles", digest)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "app/data/a.txt").stat().st_mode) & ~0o020 == 0o644
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o711


async def test_a_layer_keeps_its_links_and_has_a_place_for_the_bundle(database: Pool, root: Path) -> None:
    archive = gzip.decompress(
        tar_with(
            (tar_info("node_modules/x/cli.js", size=1, mode=0o755), b"x"),
            (tar_info("node_modules/.bin/x", type=b"2", linkname="../x/cli.js"), b""),
        )
    )
    with contextlib.closing(collect_tar(io.BytesIO(archive), LAYER_LIMITS, spool_dir=root.parent)) as layer:
        digest = await store(database, b"".join(layer.canonical()))
    folder = await open_cache(database, root).folder("layers", digest)
    assert (folder / "node_modules/.bin/x").readlink() == Path("../x/cli.js")
    assert (folder / "node_modules/.bin/x").read_text() == "x"
    assert (folder / "code").is_dir()
    assert os.access(folder / "node_modules/x/cli.js", os.X_OK)
    for path in folder.rglob("*"):
        assert path.lstat().st_gid != BUNDLE_GROUP, "it is mounted without a layer for writes"


async def test_a_layer_that_takes_the_bundles_place_is_refused(database: Pool, root: Path) -> None:
    digest = await store_files(database, {"code/x": "1"})
    with pytest.raises(ArchiveError, match="code"):
        await open_cache(database, root).folder("layers", digest)
    assert list((root / "layers").iterdir()) == []


async def test_however_many_want_a_folder_it_is_fetched_once(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root)
    async with database.acquire() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE blobs IN ACCESS EXCLUSIVE MODE")
            wanted = [asyncio.create_task(cache.folder("bundles", digest)) for _ in range(20)]
            await waiting(database)
            for _ in range(20):
                assert await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1
        found = await asyncio.gather(*wanted)
    assert len(set(found)) == 1
    await database.execute("DELETE FROM blob_chunks")
    assert await cache.folder("bundles", digest) == found[0]


async def test_two_processes_that_make_the_same_folder_end_with_one(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    caches = [open_cache(database, root) for _ in range(3)]
    found = await asyncio.gather(*(cache.folder("bundles", digest) for cache in caches))
    assert len(set(found)) == 1
    assert entries(found[0]) == ["app", "app/data", "app/data/a.txt", "main.py"]
    assert list((root / "temporary").iterdir()) == []


@pytest.mark.parametrize("area", ["bundles", "layers"])
async def test_what_is_missing_damaged_or_hostile_never_appears(
    database: Pool, root: Path, area: Area
) -> None:
    cache = open_cache(database, root)
    with pytest.raises(BlobMissingError):
        await cache.folder(area, "0" * 64)
    damaged = await store_files(database, FILES)
    await database.execute("UPDATE blob_chunks SET data = overlay(data placing '\\xffff'::bytea from 30)")
    with pytest.raises(ArchiveError):
        await cache.folder(area, damaged)
    hostile = gzip.decompress(tar_with((tar_info("a", size=1), b"x"), (tar_info("../../out", size=1), b"x")))
    with pytest.raises(ArchiveError, match=r"'\.\.'"):
        await cache.folder(area, await store(database, hostile))
    assert list((root / area).iterdir()) == []
    assert list((root / "temporary").iterdir()) == []
    assert sorted(path.name for path in root.parent.iterdir()) == ["cache"]


async def test_a_wrong_digest_is_found_before_the_folder_has_its_place(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    other = await store_files(database, {"main.py": "evil"})
    await database.execute("DELETE FROM blob_chunks WHERE digest = $1", digest)
    await database.execute("UPDATE blob_chunks SET digest = $1 WHERE digest = $2", digest, other)
    with pytest.raises(ArchiveError, match="damaged"):
        await open_cache(database, root).folder("bundles", digest)
    assert list((root / "bundles").iterdir()) == []


async def test_a_process_killed_while_it_unpacks_leaves_what_the_next_start_removes(
    database: Pool, root: Path
) -> None:
    cache = open_cache(database, root)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from runwright.workers.bundles.folders import FolderCache\n"
        "cache = FolderCache(None, root=Path(sys.argv[1]), limit_bytes=1, limits={'bundles': None})\n"
        "with cache._temporary() as folder:\n"
        "    (folder / 'files').mkdir()\n"
        "    (folder / 'files' / 'half').write_text('x')\n"
        "    print('half way', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220  the loop has nothing else to do
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        cache.open()
        assert len(list((root / "temporary").iterdir())) == 1, "its owner lives"
        process.kill()
    cache.open()
    assert list((root / "temporary").iterdir()) == []
    assert list((root / "bundles").iterdir()) == []


async def test_above_the_limit_the_folders_not_wanted_for_longest_go(database: Pool, root: Path) -> None:
    digests = [
        await store_files(database, {"main.py": f"{n}", "big": os.urandom(1_000_000)}) for n in range(4)
    ]
    for n, digest in enumerate(digests):
        await open_cache(database, root).folder("bundles", digest)
        age(root, digest, 1000 - n)
    cache = open_cache(database, root, limit_bytes=2_500_000)
    assert cache.evict() == digests[:2]
    assert sorted(path.name for path in (root / "bundles").iterdir()) == sorted(digests[2:])
    assert cache.evict() == []
    assert list((root / "temporary").iterdir()) == []


async def test_a_folder_in_use_or_wanted_just_now_is_not_removed(database: Pool, root: Path) -> None:
    digests = [await store_files(database, {"main.py": f"{n}"}) for n in range(3)]
    cache = open_cache(database, root, limit_bytes=1)
    paths = [await cache.folder("bundles", digest) for digest in digests]
    for digest in digests[:2]:
        age(root, digest, 1000)
    held = hold_folders([str(paths[0])])
    assert cache.evict() == [digests[1]]
    assert (paths[0] / "main.py").read_text() == "0"
    release_folders(held)
    assert cache.evict() == [digests[0]]
    assert paths[2].is_dir()


async def test_to_want_a_folder_again_makes_it_young(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root, limit_bytes=1)
    await cache.folder("bundles", digest)
    age(root, digest, 1000)
    await open_cache(database, root, limit_bytes=1).folder("bundles", digest)
    assert cache.evict() == []


async def test_a_folder_that_was_removed_is_made_again(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root)
    folder = await cache.folder("bundles", digest)
    shutil.rmtree(root / "bundles" / digest)
    with pytest.raises(FileNotFoundError):
        hold_folders([str(folder)])
    assert await cache.folder("bundles", digest) == folder
    assert (folder / "main.py").read_text() == "x = 1"


async def test_a_cache_that_was_cleared_is_made_again(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root)
    await cache.folder("bundles", digest)
    shutil.rmtree(root)
    assert (await cache.folder("bundles", digest) / "main.py").read_text() == "x = 1"
    assert stat.S_IMODE(root.stat().st_mode) == 0o711


async def test_who_stops_waiting_does_not_stop_the_others(database: Pool, root: Path) -> None:
    digest = await store_files(database, FILES)
    cache = open_cache(database, root)
    first, second = (asyncio.create_task(cache.folder("bundles", digest)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second / "main.py").read_text() == "x = 1"
    await cache.stop()
