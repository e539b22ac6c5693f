"""The embedded database is restored from its archive to the second before a mistake, or to what an error names."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from runwright.backups.model import BackupError
from runwright.backups.point_in_time import restore_to_time
from runwright.core.clock import system_clock
from runwright.db.embedded import EmbeddedPostgres
from runwright.db.embedded.account import postgres_account
from runwright.db.embedded.layout import Layout
from runwright.db.embedded.wal_archive import BaseBackup, WalArchive, archive_of, remember, take_base
from runwright.db.pool import Connection
from tests.waiting import PATIENCE_SECONDS

_NOT_YET = "SELECT coalesce(last_archived_wal, '') < $1 FROM pg_stat_archiver"


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    remember(data_dir, data_dir.parent / "archive %f 'x'")
    server = EmbeddedPostgres(data_dir)
    yield server
    await server.stop()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the database's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-archive-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(place: Path) -> Path:
    return place / "data"


def layout_of(data_dir: Path) -> Layout:
    return Layout(data_dir, postgres_account())


def archive(data_dir: Path) -> WalArchive:
    found = archive_of(layout_of(data_dir))
    assert found is not None
    return found


def copied(data_dir: Path) -> BaseBackup:
    base = take_base(layout_of(data_dir), archive(data_dir), data_dir)
    assert base is not None
    return base


async def archived(db: Connection) -> None:
    """Return when all that was written until now is in the archive."""
    await db.execute("SELECT pg_logical_emit_message(true, 'test', 'an empty segment is not archived')")
    segment = await db.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await db.fetchval(_NOT_YET, segment):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def clock_past(db: Connection, at: datetime) -> datetime:
    """Return the database's time once it is later than `at`."""
    while (now := await db.fetchval("SELECT clock_timestamp()")) <= at:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert isinstance(now, datetime)
    return now


async def rows_of(data_dir: Path) -> list[str]:
    server = EmbeddedPostgres(data_dir)
    try:
        db = await asyncpg.connect(await server.start())
        rows = [row["text"] for row in await db.fetch("SELECT text FROM notes ORDER BY text")]
        await db.execute("INSERT INTO notes VALUES ('written after the restoration')")
        await db.close()
    finally:
        await server.stop()
    return rows


async def test_what_was_there_before_a_mistake_is_restored_and_no_more(
    server: EmbeddedPostgres, data_dir: Path, place: Path
) -> None:
    db = await asyncpg.connect(await server.start())
    await db.execute("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('before the copy')")
    base = await asyncio.to_thread(copied, data_dir)
    await clock_past(db, base.at)
    await db.execute("INSERT INTO notes VALUES ('after the copy')")
    good = await clock_past(db, await db.fetchval("SELECT clock_timestamp()"))
    await clock_past(db, good)
    await db.execute("DELETE FROM notes")
    await db.execute("INSERT INTO notes VALUES ('after the mistake')")
    await archived(db)
    await db.close()
    await server.stop()
    folder = archive(data_dir).folder
    point = await restore_to_time(folder, place / "restored", good)
    assert point.base == base.at
    assert point.last_commit is not None
    assert point.last_commit <= good
    assert await rows_of(place / "restored") == ["after the copy", "before the copy"]
    assert not (place / "restored/pg/archived").exists()
    assert "restore_command" not in (place / "restored/pg/postgresql.auto.conf").read_text()


async def test_a_time_that_the_archive_does_not_have_is_refused_and_leaves_nothing(
    server: EmbeddedPostgres, data_dir: Path, place: Path
) -> None:
    db = await asyncpg.connect(await server.start())
    await db.execute("CREATE TABLE notes (text text)")
    folder, target = archive(data_dir).folder, place / "restored"
    with pytest.raises(BackupError, match="no copy of a database"):
        await restore_to_time(folder, target, system_clock())
    base = await asyncio.to_thread(copied, data_dir)
    await archived(db)
    await db.close()
    await server.stop()
    with pytest.raises(BackupError, match="The oldest copy in the archive is of"):
        await restore_to_time(folder, target, base.at - timedelta(seconds=1))
    with pytest.raises(BackupError, match="The archive ends before"):
        await restore_to_time(folder, target, base.at + timedelta(days=1))
    (base.folder / "base.tar.gz").write_bytes(b"not a tar file")
    with pytest.raises(BackupError, match="is damaged"):
        await restore_to_time(folder, target, base.at)
    assert not target.exists()


async def test_old_copies_go_with_the_log_that_only_they_need(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    db = await asyncpg.connect(await server.start())
    await db.execute("CREATE TABLE notes (text text)")
    bases = []
    for _ in range(3):
        bases.append(await asyncio.to_thread(copied, data_dir))
        await archived(db)
        await clock_past(db, bases[-1].at + timedelta(seconds=1))  # a name for each second
    await db.close()
    kept = archive(data_dir)
    assert kept.prune() >= 1
    assert [base.at for base in kept.bases()] == [base.at for base in bases[1:]]
    names = [one.name for one in kept.segments("")]
    assert names[0][:24] >= bases[1].first_segment
    assert any(name.startswith(bases[1].first_segment) for name in names)


async def test_a_command_that_starts_the_database_archives_too_and_a_server_without_the_setting_does_not(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    async def mode() -> str:
        db = await asyncpg.connect(await server.start())
        found: str = await db.fetchval("SHOW archive_mode")
        await db.close()
        await server.stop()
        return found

    assert await mode() == "on"
    assert await mode() == "on", "it is remembered"
    remember(data_dir, None)
    assert await mode() == "off"
