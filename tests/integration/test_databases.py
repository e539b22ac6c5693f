"""The databases that tests are lent: each is as the one before it was at first."""

from runwright.db.pool import connect
from tests.databases import Databases, execute, for_database

_PUBLISH = (
    "INSERT INTO events (tenant_id, type, subject_id, created_at) VALUES ('t', 'webhook.test', 's', now())"
)


async def test_a_database_comes_back_without_rows_and_counts_from_one_again(postgres: str) -> None:
    databases = Databases(postgres)
    name = await databases.lend()
    for _ in range(2):
        left_open = await connect(for_database(postgres, name))
        await left_open.execute("BEGIN")
        await left_open.execute(_PUBLISH)
        await execute(for_database(postgres, name), _PUBLISH)
        await databases.take_back(name)
        left_open.terminate()
        assert await databases.lend() == name
        connection = await connect(for_database(postgres, name))
        assert await connection.fetchval("SELECT count(*) FROM events") == 0
        assert await connection.fetchval("SELECT count(*) FROM schema_migrations") > 0
        await connection.execute(_PUBLISH)
        assert await connection.fetchval("SELECT min(position) FROM events") == 1
        await connection.close()
    await execute(for_database(postgres, name), "CREATE TABLE left_behind ()")
    await databases.take_back(name)
    await databases.close()


async def test_a_database_with_another_schema_is_not_lent_again(postgres: str) -> None:
    databases = Databases(postgres)
    for change in (
        "CREATE TABLE more ()",
        "ALTER TABLE jobs ADD CONSTRAINT never CHECK (id IS NULL)",
        "ALTER TABLE jobs ALTER id SET DEFAULT 'x'",
    ):
        name = await databases.lend()
        await execute(for_database(postgres, name), change)
        await databases.take_back(name)
        assert await databases.lend() != name
    await databases.close()
