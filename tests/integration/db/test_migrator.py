"""Migrations are applied once, in order, whoever else is at it; what does not fit is refused."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from runwright.db import migrator
from runwright.db.migrator import (
    Migration,
    Release,
    SchemaError,
    bundled_migrations,
    bundled_releases,
    digest_of,
    migrate,
    prepare_schema,
    read_migrations,
    require_compatible,
    schema_version,
)
from runwright.db.pool import connect
from tests.releases import MIGRATIONS, files_of, last_release
from tests.schema_dump import DUMP, DUMP_VERSION, dump_schema

ROWS = Path(__file__).parent / "rows-0.1.0.sql"
"""Rows of every table, as the servers of that release left them."""


def write_migrations(folder: Path, *statements: str) -> Sequence[Migration]:
    for number, statement in enumerate(statements, start=1):
        (folder / f"{number:04d}_step.sql").write_text(statement)
    return read_migrations(folder.iterdir())


@pytest.fixture
def steps(tmp_path: Path) -> Sequence[Migration]:
    return write_migrations(tmp_path, "CREATE TABLE one (a int)", "ALTER TABLE one ADD b int")


async def test_a_second_run_changes_nothing(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    assert [step.version for step in await migrate(connection)] == list(
        range(1, len(bundled_migrations()) + 1)
    )
    before = await dump_schema(connection)
    assert await migrate(connection) == []
    assert await dump_schema(connection) == before
    await require_compatible(connection)
    await connection.close()


async def test_servers_that_start_together_apply_each_migration_once(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connections = [await connect(empty_database_url) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection, steps) for connection in connections))
    assert sorted(step.version for done in applied for step in done) == [1, 2]
    for connection in connections:
        await connection.close()


async def test_the_schema_is_the_one_that_the_repository_shows(database_url: str) -> None:
    """`docs/schema.txt` is written by hand nowhere: a changed migration shows in it, or here."""
    connection = await connect(database_url)
    shown, version = await dump_schema(connection), connection.get_server_version().major
    await connection.close()
    if version != DUMP_VERSION:
        pytest.skip("versions of PostgreSQL print the definitions of views differently")
    assert shown == DUMP.read_text(), "the schema has changed; run `make schema` and commit docs/schema.txt"


async def test_a_database_of_the_last_release_with_rows_in_it_becomes_equal_to_a_fresh_one(
    empty_database_url: str, database_url: str, tmp_path: Path
) -> None:
    """Its files are those of its commit; the new ones are applied one at a time."""
    release = last_release()
    old, fresh = await connect(empty_database_url), await connect(database_url)
    released = [*_released_files(release, tmp_path)]
    await migrate(old, released)
    await old.execute(ROWS.read_text())
    tables = [row[0] for row in await old.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND"
              " relnamespace = 'public'::regnamespace ORDER BY 1")]  # fmt: skip
    before = {table: await old.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    assert all(before.values()), [table for table, rows in before.items() if not rows]
    newest = bundled_migrations()
    for count in range(release.schema, len(newest) + 1):
        await migrate(old, newest[:count])
    after = {table: await old.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    kept = {table for table in tables if table != "schema_migrations"}
    assert {table: after[table] for table in kept} == {table: before[table] for table in kept}
    assert await dump_schema(old) == await dump_schema(fresh)
    await old.close()
    await fresh.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE jobs ALTER id TYPE varchar",
        "ALTER TABLE jobs ALTER id DROP DEFAULT, ALTER id SET DEFAULT 'x'",
        "ALTER TABLE jobs ADD CONSTRAINT never CHECK (id <> '')",
        "ALTER TABLE job_queue SET (fillfactor = 71)",
        "ALTER TABLE blob_chunks ALTER data SET STORAGE EXTENDED",
        "ALTER TABLE events ALTER position SET INCREMENT 2",
        "ALTER TABLE jobs ADD FOREIGN KEY (worker_id) REFERENCES workers",
        "ALTER FUNCTION duration_bucket VOLATILE",
        "CREATE TRIGGER one BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER INDEX jobs_by_worker RENAME TO other",
        "CREATE VIEW one AS SELECT 1",
        "CREATE SEQUENCE one",
        "CREATE TYPE one AS ENUM ('a')",
        "CREATE DOMAIN one AS text CHECK (value <> '')",
        "CREATE TABLE one (a int) PARTITION BY LIST (a)",
        "GRANT SELECT ON jobs TO PUBLIC",
        "CREATE SCHEMA one",
    ],
)
async def test_the_dump_shows_every_kind_of_change(database_url: str, change: str) -> None:
    connection = await connect(database_url)
    before = await dump_schema(connection)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(change)
    assert await dump_schema(connection) != before
    await transaction.rollback()
    assert await dump_schema(connection) == before
    await connection.close()


def test_released_files_never_change(tmp_path: Path) -> None:
    """Neither their bytes nor what `releases.toml` says of them, by the history and by its digests."""
    bundled = bundled_migrations()
    releases = bundled_releases()
    assert releases
    for release in releases:
        released = [*_released_files(release, tmp_path)]
        assert len(released) == release.schema
        assert digest_of(bundled[: release.schema]) == digest_of(released) == release.digest
    assert [release.schema for release in releases] == sorted({release.schema for release in releases})


def _released_files(release: Release, tmp_path: Path) -> Sequence[Migration]:
    folder = tmp_path / release.version
    folder.mkdir()
    for name, content in files_of(release.commit, MIGRATIONS).items():
        (folder / Path(name).name).write_bytes(content)
    return read_migrations(folder.iterdir())


def test_new_files_work_with_the_code_of_the_release_before_them() -> None:
    release = last_release()
    found = {migration.compatible_from for migration in bundled_migrations()[release.schema :]}
    assert found <= {release.schema}


async def test_code_of_the_release_before_accepts_a_schema_and_that_before_it_refuses(
    empty_database_url: str, tmp_path: Path
) -> None:
    """Release 1 has the first file, release 2 the second, the third is to come."""
    write_migrations(tmp_path, "CREATE TABLE one (a int)", "CREATE TABLE two ()", "CREATE TABLE three ()")
    releases = [Release(version=f"{n}", commit="", schema=n, digest="") for n in (1, 2)]
    steps = read_migrations(tmp_path.iterdir(), releases)
    assert [step.compatible_from for step in steps] == [None, 1, 2]
    connection = await connect(empty_database_url)
    await migrate(connection, steps[:2])
    await require_compatible(connection, steps[:1])
    assert await prepare_schema(connection, may_migrate=True, migrations=steps[:1]) == []
    await migrate(connection, steps)
    await require_compatible(connection, steps[:2])
    with pytest.raises(SchemaError, match=r"version 3 .* only 1"):
        await require_compatible(connection, steps[:1])
    await connection.close()


async def test_only_an_empty_database_is_migrated_unasked(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connection = await connect(empty_database_url)
    assert await prepare_schema(connection, may_migrate=False, migrations=steps[:1]) == [*steps[:1]]
    with pytest.raises(SchemaError, match=r"version 1 .* needs 2"):
        await prepare_schema(connection, may_migrate=False, migrations=steps)
    assert await prepare_schema(connection, may_migrate=True, migrations=steps) == [*steps[1:]]
    await connection.close()


async def test_a_table_in_use_is_not_blocked_for_long(
    empty_database_url: str, steps: Sequence[Migration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that waits for a lock keeps others waiting behind it, so it gives up and is repeated."""
    monkeypatch.setattr(migrator, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(migrator, "LOCK_ATTEMPTS", 3)
    monkeypatch.setattr(migrator, "LOCK_PAUSE_SECONDS", 0.01)
    connection, user = await connect(empty_database_url), await connect(empty_database_url)
    await migrate(connection, steps[:1])
    async with user.transaction():
        await user.execute("SELECT * FROM one")
        with pytest.raises(SchemaError, match="did not get the lock"):
            await migrate(connection, steps)
        monkeypatch.setattr(migrator, "LOCK_ATTEMPTS", 10_000)
        migrating = asyncio.create_task(migrate(connection, steps))
        await user.execute("SELECT * FROM one")
        assert not migrating.done()
    assert await migrating == [*steps[1:]]
    await connection.close()
    await user.close()


async def test_a_newer_schema_is_refused_naming_both_versions(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, steps)
    for attempt in (migrate(connection, steps[:1]), require_compatible(connection, steps[:1])):
        with pytest.raises(SchemaError, match=r"version 2 .* only 1"):
            await attempt
    await connection.close()


async def test_an_older_schema_is_refused_by_who_does_not_migrate(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, steps[:1])
    with pytest.raises(SchemaError, match=r"version 1 .* needs 2"):
        await require_compatible(connection, steps)
    assert await schema_version(connection) == 1
    await connection.close()


async def test_an_edited_migration_is_refused_by_name(
    empty_database_url: str, steps: Sequence[Migration], tmp_path: Path
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, steps)
    edited = write_migrations(tmp_path, "CREATE TABLE one (a bigint)")
    with pytest.raises(SchemaError, match="0001_step was changed"):
        await migrate(connection, edited)
    await connection.close()


async def test_a_failing_migration_leaves_nothing_behind(empty_database_url: str, tmp_path: Path) -> None:
    """The files before it stay applied; its own statements and its record are rolled back."""
    broken = write_migrations(tmp_path, "CREATE TABLE one (a int)", "CREATE TABLE two (a int); SELECT 1/0")
    connection = await connect(empty_database_url)
    with pytest.raises(SchemaError, match="0002_step"):
        await migrate(connection, broken)
    assert await schema_version(connection) == 1
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("SELECT * FROM two")
    await connection.close()


@pytest.mark.parametrize("names", [("0002_b.sql",), ("0001_a.sql", "0001_b.sql"), ("first.sql",)])
def test_misnumbered_files_are_refused(tmp_path: Path, names: Sequence[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(SchemaError):
        read_migrations(tmp_path.iterdir())
