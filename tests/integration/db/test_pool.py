"""How connections pass JSON through, and which errors heal by themselves."""

import asyncpg
import msgspec
import pytest

from runwright.db.errors import transient
from runwright.db.pool import Pool


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
