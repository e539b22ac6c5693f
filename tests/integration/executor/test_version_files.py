"""An attempt's files are on this machine before it begins, or it fails saying so."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runwright.db.pool import Pool
from runwright.loops.version_files import LoadError, VersionFiles
from runwright.telemetry.events.executor import CacheFoldersRemoved, VersionUnreadable
from runwright.workers.bundles.folders import FolderCache
from runwright.workers.store import WorkerRevision
from tests.integration.workers.test_folders import FILES, LAYER_LIMITS, LIMITS, age, store_files
from tests.telemetry import RecordedTelemetry


class Shelf:
    """A cache on a fresh database, with layers by name."""

    def __init__(self, db: Pool, root: Path) -> None:
        self.root = root
        self.telemetry = RecordedTelemetry()
        self.layers: dict[str, str] = {}
        self.cache = FolderCache(
            db, root=root, limit_bytes=1, limits={"bundles": LIMITS, "layers": LAYER_LIMITS}
        )
        self.files = VersionFiles(self.cache, self._digest, emit=self.telemetry)

    async def _digest(self, key: str, _interpreter: str) -> str | None:
        return self.layers.get(key)


def definition(digest: str | None, layer_key: str | None = None) -> WorkerRevision:
    return WorkerRevision(
        name="w",
        worker_id="wkr_1",
        tenant_id="ten_1",
        runtime="python",
        revision=1,
        version=3,
        entrypoint="main.py",
        source_code="",
        bundle_digest=digest,
        layer_key=layer_key,
        config={},
        secrets=[],
        timeout_seconds=1,
        max_concurrency=None,
        memory_mb=64,
        network="none",
        updated_at=datetime.min.replace(tzinfo=UTC),
    )


@pytest.fixture
async def shelf(database: Pool) -> AsyncIterator[Shelf]:
    root = Path(tempfile.mkdtemp(prefix="runwright-files-", dir="/tmp"))
    made = Shelf(database, root)
    await made.files.start()
    yield made
    await made.files.stop()
    shutil.rmtree(root)


async def test_a_version_has_the_folders_of_its_bundle_and_its_layer(shelf: Shelf, database: Pool) -> None:
    bundle = await store_files(database, FILES)
    shelf.layers["key"] = await store_files(database, {"python/dep.py": "x"})
    plain = await shelf.files.folders(definition(bundle))
    assert plain.bundle is not None
    assert Path(plain.bundle, "main.py").is_file()
    assert plain.layer is None
    both = await shelf.files.folders(definition(bundle, "key"))
    assert both.bundle == plain.bundle
    assert both.layer is not None
    assert Path(both.layer, "python/dep.py").is_file()
    assert (await shelf.files.folders(definition(None))).bundle is None


async def test_files_that_cannot_be_had_fail_for_good_and_are_reported(shelf: Shelf, database: Pool) -> None:
    bundle = await store_files(database, FILES)
    for wanted in (definition("0" * 64), definition(bundle, "unknown")):
        with pytest.raises(LoadError, match="version 3"):
            await shelf.files.folders(wanted)
    damaged = await store_files(database, {"other": "x"})
    await database.execute("UPDATE blob_chunks SET data = 'x'")
    with pytest.raises(LoadError):
        await shelf.files.folders(definition(damaged))
    assert shelf.telemetry.kinds() == [VersionUnreadable] * 3


async def test_a_new_folder_makes_room_where_there_are_too_many(shelf: Shelf, database: Pool) -> None:
    old = await store_files(database, FILES)
    await shelf.files.folders(definition(old))
    age(shelf.root, old, 1000)
    await shelf.files.folders(definition(await store_files(database, {"new": "x"})))
    async with asyncio.timeout(60):
        while not shelf.telemetry.of(CacheFoldersRemoved):  # noqa: ASYNC110  the event is the signal
            await asyncio.sleep(0.01)
    assert not (shelf.root / "bundles" / old).exists()
