"""Backups of a database of one's own: one snapshot, restored as a whole or not at all."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runwright.backups import archive
from runwright.backups.archive import ArchiveReader, ArchiveWriter
from runwright.backups.backup import make_backup
from runwright.backups.model import DUMP, BackupError, BackupManifest, BackupMember
from runwright.backups.postgres_tools import find_tools, target_of
from runwright.backups.restore import check_backup, restore_database
from runwright.db.migrator import schema_version
from runwright.db.pool import connect
from runwright.wiring.resources import ENCRYPTED_COLUMNS
from tests.integration.jobs.world import World


def ignore(_done: int, _total: int) -> None:
    pass


async def back_up(world: World, dsn: str, path: Path, *, vault_key: str | None = None) -> BackupManifest:
    with path.open("wb") as file:
        return await make_backup(
            dsn,
            file,
            columns=ENCRYPTED_COLUMNS,
            vault_key=vault_key,
            clock=world.clock,
            programs=None,
            progress=ignore,
        )


async def restore(path: Path, dsn: str, data_dir: Path) -> None:
    with ArchiveReader(path) as reader:
        await restore_database(reader, dsn, data_dir, programs=None, progress=ignore)


@pytest.fixture
async def backup(world: World, database_url: str, tmp_path: Path) -> Path:
    """A backup of a database with a worker and three jobs, one of which has ended."""
    worker = await world.worker()
    await world.executor()
    for _ in range(3):
        await world.job(worker)
    [claimed] = await world.claim(capacity=1)
    await world.finish(world.end_of(claimed))
    path = tmp_path / "one.backup"
    manifest = await back_up(world, database_url, path, vault_key="not-a-real-key")
    assert (manifest.rows["jobs"], manifest.rows["job_queue"], manifest.rows["job_results"]) == (3, 2, 1)
    return path


async def test_every_row_is_restored_into_an_empty_database(
    world: World, database_url: str, empty_database_url: str, backup: Path, tmp_path: Path
) -> None:
    await world.job(await world.worker())  # after the snapshot
    await restore(backup, empty_database_url, tmp_path / "data")
    old, new = await connect(database_url), await connect(empty_database_url)
    try:
        assert await new.fetchval("SELECT count(*) FROM jobs") == 3
        assert await new.fetch("SELECT job_id FROM job_results") == await old.fetch(
            "SELECT job_id FROM job_results"
        )
        assert await schema_version(new) == await schema_version(old)
    finally:
        await old.close()
        await new.close()
    assert (tmp_path / "data" / "vault-key").read_text() == "not-a-real-key\n"
    assert (tmp_path / "data" / "vault-key").stat().st_mode & 0o777 == 0o600


async def test_a_database_with_tables_and_a_key_that_is_there_are_left_alone(
    database_url: str, empty_database_url: str, backup: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="not empty"):
        await restore(backup, database_url, tmp_path / "data")
    (tmp_path / "vault-key").write_text("another")
    with pytest.raises(BackupError, match="exists already"):
        await restore(backup, empty_database_url, tmp_path)
    assert (tmp_path / "vault-key").read_text() == "another"
    assert await tables(empty_database_url) == 0


async def tables(dsn: str) -> int:
    connection = await connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


@pytest.fixture(params=["a flipped bit", "another digest"])
def damaged(request: pytest.FixtureRequest, backup: Path, tmp_path: Path) -> Path:
    """A backup that differs after all that pg_restore needs: in its last byte, or in what the manifest says."""
    path = tmp_path / "damaged.backup"
    if request.param == "another digest":

        def change(manifest: BackupManifest) -> BackupManifest:
            member = BackupMember(manifest.members[DUMP].bytes, "0" * 64)
            return msgspec.structs.replace(manifest, members=manifest.members | {DUMP: member})

        return rewritten(backup, path, change)
    with ArchiveReader(backup) as reader:
        dump = b"".join(reader.chunks(DUMP))
    content = backup.read_bytes()
    at = content.index(dump) + len(dump) - 1
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return path


async def test_damage_is_found_by_a_check_and_leaves_an_empty_database_empty(
    empty_database_url: str, backup: Path, damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "CHUNK_BYTES", 4096)
    with ArchiveReader(backup) as reader:
        await check_backup(reader, programs=None, progress=ignore)
    with ArchiveReader(damaged) as reader, pytest.raises(BackupError, match="damaged"):
        await check_backup(reader, programs=None, progress=ignore)
    with pytest.raises(BackupError, match="damaged"):
        await restore(damaged, empty_database_url, tmp_path / "data")
    assert await tables(empty_database_url) == 0
    assert not (tmp_path / "data").exists()


async def test_a_backup_is_of_the_moment_at_which_its_rows_were_counted(
    world: World, database_url: str, empty_database_url: str, backup: Path, tmp_path: Path
) -> None:
    """The database loses rows just before pg_dump starts."""
    with ArchiveReader(backup) as reader:
        tools = find_tools(reader.manifest.postgres, None)
    for name in ("pg_dump", "pg_restore"):
        program = tmp_path / name
        lose = f'{tools}/psql -q "{target_of(database_url).dsn}" -c "DELETE FROM job_results"\n'
        program.write_text(
            f'#!/bin/sh\ncase "$1" in --dbname*) {lose if name == "pg_dump" else ":"} ;; esac\nexec {tools}/{name} "$@"\n'
        )
        program.chmod(0o755)
    path = tmp_path / "moment.backup"
    with path.open("wb") as file:
        await make_backup(
            database_url,
            file,
            columns=ENCRYPTED_COLUMNS,
            vault_key=None,
            clock=world.clock,
            programs=tmp_path,
            progress=ignore,
        )
    assert await world.db.fetchval("SELECT count(*) FROM job_results") == 0
    await restore(path, empty_database_url, tmp_path / "data")
    restored = await connect(empty_database_url)
    assert await restored.fetchval("SELECT count(*) FROM job_results") == 1
    await restored.close()


async def test_rows_that_are_missing_after_the_restoration_are_an_error(
    empty_database_url: str, backup: Path, tmp_path: Path
) -> None:
    def more_jobs(manifest: BackupManifest) -> BackupManifest:
        return msgspec.structs.replace(manifest, rows=manifest.rows | {"jobs": 4})

    changed = rewritten(backup, tmp_path / "changed.backup", more_jobs)
    with pytest.raises(BackupError, match="jobs has 3 rows"):
        await restore(changed, empty_database_url, tmp_path / "data")


async def test_a_backup_of_a_newer_version_is_refused(
    empty_database_url: str, backup: Path, tmp_path: Path
) -> None:
    def newer(manifest: BackupManifest) -> BackupManifest:
        return msgspec.structs.replace(manifest, schema_version=manifest.schema_version + 1, runwright="9.9")

    changed = rewritten(backup, tmp_path / "changed.backup", newer)
    with pytest.raises(BackupError, match=r"Runwright 9\.9"):
        await restore(changed, empty_database_url, tmp_path / "data")
    assert await tables(empty_database_url) == 0


def rewritten(backup: Path, path: Path, change: Callable[[BackupManifest], BackupManifest]) -> Path:
    """Return the backup with another manifest."""
    with ArchiveReader(backup) as reader, path.open("wb") as file:
        writer = ArchiveWriter(file)
        for name in reader.manifest.members:
            with writer.adding(name) as sink:
                for chunk in reader.chunks(name):
                    sink.write(chunk)
        writer.finish(change(reader.manifest))
    return path


async def test_an_empty_database_has_no_backup(world: World, empty_database_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="empty"):
        await back_up(world, empty_database_url, tmp_path / "none.backup")


def test_what_is_not_a_backup_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not a zip", b"PK\x05\x06" + bytes(18)):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BackupError, match="not a"):
            ArchiveReader(tmp_path / "file")
    other = io.BytesIO()
    writer = ArchiveWriter(other)
    writer._zip.writestr("manifest.json", b'{"format": 2, "runwright": "9.9"}')  # noqa: SLF001
    writer._zip.close()  # noqa: SLF001
    (tmp_path / "file").write_bytes(other.getvalue())
    with pytest.raises(BackupError, match=r"9\.9 in the format 2"):
        ArchiveReader(tmp_path / "file")


def test_tools_of_a_version_that_is_not_here_are_named(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="of PostgreSQL 7 on this machine") as refused:
        find_tools(7, None)
    assert "postgresql-client-7" in refused.value.hint
    with pytest.raises(BackupError, match=f"of PostgreSQL 18 in {tmp_path}"):
        find_tools(18, tmp_path)


@pytest.mark.parametrize(
    ("dsn", "shown", "password"),
    [
        (
            "postgresql://me:p%40ss@db:5433/rw?sslmode=require",
            "postgresql://me@db:5433/rw?sslmode=require",
            "p@ss",
        ),
        ("postgresql:///rw?host=/tmp&user=me&password=x", "postgresql:///rw?host=%2Ftmp&user=me", "x"),
        ("postgres://me@a,b/rw", "postgres://me@a,b/rw?target_session_attrs=primary", None),
    ],
)
def test_a_password_is_no_argument_of_a_program(dsn: str, shown: str, password: str | None) -> None:
    target = target_of(dsn)
    assert target.dsn == shown
    assert target.environment.get("PGPASSWORD") == password
    assert "p@ss" not in repr(target)
