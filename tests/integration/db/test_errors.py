"""Errors as PostgreSQL itself reports them."""

import asyncpg
import pytest

from runwright.db.errors import SQLSTATES, WriteOutcome, proof_of
from runwright.db.pool import Pool

RAISE = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'no'; END $$"


async def _error_of(database: Pool, statement: str, *values: object) -> BaseException:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
        await database.fetch(statement, *values)
    return caught.value


async def test_the_server_reports_every_code_of_the_table(database: Pool) -> None:
    """What a statement raises on the server arrives with its code and its proof."""
    for key in SQLSTATES:
        error = await _error_of(database, RAISE.format(code=f"{key}000"[:5]))
        assert proof_of(error) == SQLSTATES[key], key


async def test_data_that_cannot_be_stored_are_invalid(database: Pool) -> None:
    """Found by the client, or by the server."""
    for statement, value in (
        ("SELECT $1::integer", 2**40),
        ("SELECT $1::text", "\ud800"),
        ("SELECT $1::text", "a\0b"),
        ("SELECT $1::json::jsonb", b'"\\u0000"'),
        ("SELECT 1 / $1::integer", 0),
    ):
        error = await _error_of(database, statement, value)
        assert proof_of(error).outcome is WriteOutcome.INVALID, repr(error)


async def test_a_backend_that_is_terminated_leaves_its_statement_in_doubt(database: Pool) -> None:
    """The server says FATAL before it goes; a commit that waits for a standby ends like that too."""
    error = await _error_of(database, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert proof_of(error).outcome is WriteOutcome.IN_DOUBT


async def test_a_statement_that_is_cancelled_or_timed_out_is_rolled_back(database: Pool) -> None:
    """By an operator, by `statement_timeout`, by `lock_timeout`."""
    async with database.acquire() as one, database.acquire() as other, one.transaction():
        await one.execute("LOCK TABLE jobs")
        for setting, code in (("statement_timeout", "57014"), ("lock_timeout", "55P03")):
            await other.execute(f"SET {setting} = '20ms'")
            with pytest.raises(asyncpg.PostgresError) as caught:
                await other.fetch("SELECT 1 FROM jobs")
            await other.execute(f"RESET {setting}")
            assert caught.value.sqlstate == code
            assert proof_of(caught.value).outcome is WriteOutcome.ROLLED_BACK
    error = await _error_of(database, "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10)")
    assert proof_of(error).outcome is WriteOutcome.ROLLED_BACK
