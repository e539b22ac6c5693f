"""How connections pass JSON through, and which errors heal by themselves."""

import asyncio

import asyncpg
import msgspec
import pytest

from runwright.db import pool as pool_module
from runwright.db.errors import transient
from runwright.db.pool import Pool, open_pool


async def test_json_passes_through_as_text(database: Pool) -> None:
    """What goes in as bytes comes out as the same bytes, not parsed and written again."""
    text = b'{ "b":1.50, "a":[null,"\\u00e9"] }'
    assert bytes(await database.fetchval("SELECT $1::json", text)) == text
    assert bytes(await database.fetchval("SELECT $1::json", msgspec.Raw(text))) == text


async def test_json_passes_through_inside_arrays(database: Pool) -> None:
    """Batches travel as arrays, so `json[]` behaves like `json`, with NULLs."""
    texts = [b'{"a":1}', None, b'"x"']
    rows = await database.fetch("SELECT j FROM unnest($1::json[]) AS j", texts)
    assert [None if row["j"] is None else bytes(row["j"]) for row in rows] == texts
    whole = await database.fetchval("SELECT $1::json[]", texts)
    assert [None if value is None else bytes(value) for value in whole] == texts


async def test_times_come_back_aware_and_in_utc(database: Pool) -> None:
    moment = await database.fetchval("SELECT timestamptz '2024-01-01 12:00:00+02'")
    assert moment.isoformat() == "2024-01-01T10:00:00+00:00"


async def test_a_lost_connection_is_transient_and_replaced(database: Pool) -> None:
    """A statement whose backend is terminated fails as transient; the next one has a new connection."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert transient(caught.value)
    assert await database.fetchval("SELECT 1") == 1


async def test_errors_of_a_statement_are_not_transient(database: Pool) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute("SELECT 1/0")
    assert not transient(caught.value)


async def test_a_closing_pool_is_not_transient(database_url: str, database: Pool) -> None:
    """Whoever retries on transient errors must not spin on a pool that is closed for good."""
    await database.close()
    with pytest.raises(asyncpg.InterfaceError) as caught:
        await database.fetchval("SELECT 1")
    assert not transient(caught.value)
    assert database_url


@pytest.mark.parametrize("error", [ConnectionRefusedError(), FileNotFoundError(), TimeoutError()])
def test_a_server_out_of_reach_is_transient(error: OSError) -> None:
    assert transient(error)


async def test_a_transaction_that_was_left_open_is_rolled_back(database_url: str) -> None:
    pool = await open_pool(database_url, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("CREATE TABLE left_behind ()")
    assert await pool.fetchval("SELECT to_regclass('left_behind')") is None
    await pool.close()


async def test_a_released_connection_is_used_by_the_next_one_only(database_url: str) -> None:
    pool = await open_pool(database_url, max_size=1)
    async with pool.acquire() as first:
        waiting = asyncio.create_task(pool.fetchval("SELECT pg_backend_pid()"))
        pid = await first.fetchval("SELECT pg_backend_pid()")
    assert await waiting == pid
    with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
        await first.fetchval("SELECT 1")
    await pool.close()


async def test_a_connection_is_replaced_after_many_statements(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_QUERIES", 5)
    pool = await open_pool(database_url, max_size=1)
    pids = [await pool.fetchval("SELECT pg_backend_pid()") for _ in range(9)]
    assert len(set(pids)) > 1
    await pool.close()
