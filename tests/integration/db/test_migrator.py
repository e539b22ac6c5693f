"""Migrations are applied once, in order, whoever else is at it; what does not fit is refused."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from runwright.db.migrator import (
    Migration,
    SchemaError,
    bundled_migrations,
    migrate,
    read_migrations,
    require_current,
    schema_version,
)
from runwright.db.pool import Connection, connect

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"


def write_migrations(folder: Path, *statements: str) -> Sequence[Migration]:
    for number, statement in enumerate(statements, start=1):
        (folder / f"{number:04d}_step.sql").write_text(statement)
    return read_migrations(folder.iterdir())


@pytest.fixture
def steps(tmp_path: Path) -> Sequence[Migration]:
    return write_migrations(tmp_path, "CREATE TABLE one (a int)", "ALTER TABLE one ADD b int")


async def schema(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for query in (COLUMNS, INDEXES) for row in await connection.fetch(query)]


async def test_a_second_run_changes_nothing(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    assert [step.version for step in await migrate(connection)] == list(
        range(1, len(bundled_migrations()) + 1)
    )
    before = await schema(connection)
    assert await migrate(connection) == []
    assert await schema(connection) == before
    await require_current(connection)
    await connection.close()


async def test_servers_that_start_together_apply_each_migration_once(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connections = [await connect(empty_database_url) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection, steps) for connection in connections))
    assert sorted(step.version for done in applied for step in done) == [1, 2]
    for connection in connections:
        await connection.close()


async def test_a_migrated_schema_equals_a_fresh_one(empty_database_url: str, database_url: str) -> None:
    """Stopping after each version and carrying on ends where one run from nothing ends."""
    old, fresh = await connect(empty_database_url), await connect(database_url)
    wanted = bundled_migrations()
    for count in range(1, len(wanted) + 1):
        await migrate(old, wanted[:count])
    assert await schema(old) == await schema(fresh)
    await old.close()
    await fresh.close()


async def test_a_newer_schema_is_refused_naming_both_versions(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, steps)
    for attempt in (migrate(connection, steps[:1]), require_current(connection, steps[:1])):
        with pytest.raises(SchemaError, match=r"version 2 .* only 1"):
            await attempt
    await connection.close()


async def test_an_older_schema_is_refused_by_who_does_not_migrate(
    empty_database_url: str, steps: Sequence[Migration]
) -> None:
    connection = await connect(empty_database_url)
    await migrate(connection, steps[:1])
    with pytest.raises(SchemaError, match=r"version 1 .* needs 2"):
        await require_current(connection, steps)
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
