"""A drain on a full database: what a job costs beside many stored and queued ones, and while old ones are pruned.

The stored jobs are inserted by SQL (`fill_jobs`): a week of history, a tenth still queued for next year. The same
backlog is drained three times on one database: beside few stored jobs, beside many, and with a retention period that
makes half of those due for pruning.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg

from tests.bench.connection import Connection
from tests.bench.drain import drained
from tests.bench.listing import DAYS, WORKERS, fill_jobs
from tests.bench.postgres import postgres_running
from tests.bench.result import Storage, Throughput
from tests.bench.server import make_worker, serving

FEW: Final = 10_000
QUEUED_PART: Final = 10
_COUNT: Final = "SELECT count(*) FROM job_results"


async def measure_storage(folder: Path, stored: int, jobs: int) -> Storage:
    """Measure with so many stored jobs, and so many in the backlog."""
    async with postgres_running(folder) as dsn:
        async with _connected(folder, dsn) as connection:
            workers = [make_worker(connection) for _ in range(WORKERS)]
            await fill_jobs(dsn, workers, FEW)
            few = await drained(connection, make_worker(connection), jobs)
            began = time.monotonic()
            await fill_jobs(dsn, workers, stored, max(stored // QUEUED_PART, 1))
            took = time.monotonic() - began
            many = await drained(connection, make_worker(connection), jobs)
        before = await _ended(dsn)
        async with _connected(folder, dsn, keep_days=DAYS / 2) as connection:
            pruned = await drained(connection, make_worker(connection), jobs)
            left = await _ended(dsn) - pruned.jobs
    return Storage(
        few=FEW,
        many=stored,
        load_seconds=took,
        beside_few=few,
        beside_many=many,
        while_pruned=pruned,
        pruned=before - left,
    )


@contextlib.asynccontextmanager
async def _connected(folder: Path, dsn: str, keep_days: float | None = None) -> AsyncIterator[Connection]:
    env = {} if keep_days is None else {"RUNWRIGHT_RETENTION_JOBS_DAYS": str(keep_days)}
    async with serving(folder, "--database-url", dsn, env=env) as server:
        with server.connect() as connection:
            yield connection


async def _ended(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_COUNT))
    finally:
        await connection.close()


def drains_of(storage: Storage) -> dict[str, Throughput]:
    """Return the three drains by what they were beside."""
    return {
        f"beside {storage.few:,} stored jobs": storage.beside_few,
        f"beside {storage.many:,}, a tenth queued": storage.beside_many,
        f"while {storage.pruned:,} of them are pruned": storage.while_pruned,
    }
