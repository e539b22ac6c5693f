"""What `/readyz` asks: can anything be written, now?"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from runwright.db import write_probe
from runwright.db.availability import Availability
from runwright.db.pool import Pool
from runwright.db.write_probe import WriteProbe

HANG_GUARD_SECONDS = 60.0


@pytest.fixture
async def probe(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WriteProbe]:
    monkeypatch.setattr(write_probe, "FRESH_SECONDS", 0.0)
    probe = WriteProbe(database_url, Availability())
    yield probe
    await probe.close()


async def _session(database: Pool) -> int:
    pid = await database.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'runwright-probe'"
        " AND datname = current_database()"
    )
    return int(pid)


async def _written(database: Pool) -> tuple[int, int]:
    """Bytes of temporary files of this database, and of the log."""
    row = await database.fetchrow(
        "SELECT temp_bytes, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS log"
        " FROM pg_stat_database WHERE datname = current_database()"
    )
    assert row is not None
    return row["temp_bytes"], row["log"]


async def test_a_database_that_can_be_written_to_has_no_problem(probe: WriteProbe) -> None:
    assert await probe.problem() is None


async def test_it_really_writes_beside_the_data_and_to_the_log(probe: WriteProbe, database: Pool) -> None:
    """A full disk is seen only by something that needs space on it."""
    before = await _written(database)
    assert await probe.problem() is None
    await probe.close()  # statistics of a session are complete at its end
    async with asyncio.timeout(HANG_GUARD_SECONDS):
        while True:
            after = await _written(database)
            if after[0] - before[0] >= 500_000 and after[1] > before[1]:
                break
            await asyncio.sleep(0.05)


async def test_a_read_only_database_is_a_problem_until_it_is_not(probe: WriteProbe, database: Pool) -> None:
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert await probe.problem() == "the database is read-only"
    await database.execute("SET default_transaction_read_only = off")
    await database.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await database.execute("SELECT pg_terminate_backend($1)", await _session(database))
    await probe.problem()
    assert await probe.problem() is None


async def test_a_database_that_hangs_is_a_problem_until_it_answers(probe: WriteProbe, database: Pool) -> None:
    assert await probe.problem() is None
    backend = await _session(database)
    os.kill(backend, signal.SIGSTOP)
    try:
        async with asyncio.timeout(HANG_GUARD_SECONDS):
            assert await probe.problem() == "TimeoutError"
    finally:
        os.kill(backend, signal.SIGCONT)
    assert await probe.problem() is None


async def test_many_probes_at_once_are_one_statement(probe: WriteProbe, database: Pool) -> None:
    assert set(await asyncio.gather(*(probe.problem() for _ in range(20)))) == {None}
    sessions = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runwright-probe'"
        " AND datname = current_database()"
    )
    assert sessions == 1


async def test_a_database_that_is_known_to_be_away_is_a_problem_at_once() -> None:
    availability = Availability()
    availability.lost("a test")
    probe = WriteProbe("postgresql://192.0.2.1/unreachable", availability)
    assert await probe.problem() == "the database does not answer"
    await probe.close()
