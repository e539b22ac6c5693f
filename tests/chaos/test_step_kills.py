"""`kill -9` in the middle of bulk operations and backfills: they resume, end, and act on everything once."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.integration.jobs.world import World
from tests.integration.schedules.world import ScheduleWorld

from runwright.bulk.model import BulkAction, BulkOperation, BulkStatus, RetryVersion
from runwright.bulk.service import BulkOperations
from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool, open_pool
from runwright.job_views.model import JobFilter
from runwright.schedules.backfills import Backfills
from runwright.schedules.model import Backfill, BackfillStatus

FAILED: Final = 2_000
QUEUED: Final = 10_000
FIRINGS: Final = 2_000
RUNNERS: Final = 2
KILLS: Final = 4
_MANY: Final = """
WITH new AS (
    SELECT 'job_' || $2 || lpad(n::text, 25, '0') AS id FROM generate_series(1, $3::integer) AS s (n)
), made AS (
    INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,
                      worker_version, created_at)
    SELECT 'ten_a', id, $1, 'manual', 5, '{"n": 1}', 'usr', 0, 1, now() FROM new
)
"""
_QUEUE: Final = (
    _MANY
    + """
INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, priority, run_at, rank, retries_left, worker_version)
SELECT 'ten_a', id, $1, 'manual', 5, now(), now(), 0, 1 FROM new
"""
)
_FAIL: Final = (
    _MANY
    + """
INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version, completed_at, error)
SELECT 'ten_a', id, $1, 'failed', 1, 1, now(), '{"code": "timeout", "message": "late"}' FROM new
"""
)


@contextlib.asynccontextmanager
async def killed_at_the_end(dsn: str, kind: str, log: Path) -> AsyncIterator[None]:
    """Run the loop in a process of its own, and kill it at the end."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.step_process", dsn, kind),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n", log.read_text()
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def _progress(db: Pool, operation: BulkOperation | Backfill) -> int:
    table = "bulk_operations" if isinstance(operation, BulkOperation) else "schedule_backfills"
    done: int = await db.fetchval(f"SELECT done FROM {table} WHERE id = $1", operation.id)
    return done


async def _kill_in_the_middle(db: Pool, url: str, log: Path, operation: BulkOperation | Backfill) -> None:
    """Run the loops until the operation has moved on a little, and kill them at some moment of that."""
    kind = "bulk" if isinstance(operation, BulkOperation) else "backfill"
    chance = random.Random(int(os.environ.get("CHAOS_SEED", "20261130")))
    in_the_middle = 0
    while in_the_middle < KILLS and (before := await _progress(db, operation)) < operation.matched:
        async with contextlib.AsyncExitStack() as running:
            for _ in range(RUNNERS):
                await running.enter_async_context(killed_at_the_end(url, kind, log))
            async with asyncio.timeout(60):
                while await _progress(db, operation) <= before:  # noqa: ASYNC110
                    await asyncio.sleep(chance.uniform(0, 0.05))
        in_the_middle += before < await _progress(db, operation) < operation.matched
    assert in_the_middle, "no kill was in the middle"


async def _carried_out(bulk: BulkOperations, url: str, log: Path, operation: BulkOperation) -> BulkOperation:
    async with killed_at_the_end(url, "bulk", log), asyncio.timeout(120):
        while (now := await bulk.get("ten_a", operation.id)).status is BulkStatus.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (now.status, now.matched, now.failed, now.skipped) == (
        *(BulkStatus.COMPLETED, operation.matched),
        *(0, 0),
    )
    assert now.done == operation.matched
    return now


@pytest.mark.timeout(300)
async def test_a_retry_that_is_killed_repeats_every_job_once(database_url: str, tmp_path: Path) -> None:
    db = await open_pool(database_url)
    try:
        world = World(db)
        world.now = datetime.now(UTC)
        worker = await world.worker()
        await db.execute(_FAIL, worker.id, "0", FAILED)
        bulk = BulkOperations(db, clock=world.clock)
        operation = await bulk.start(
            world.caller(), BulkAction.RETRY, JobFilter(), version=RetryVersion.ORIGINAL
        )
        assert operation.matched == FAILED
        log = tmp_path / "bulk.log"
        await _kill_in_the_middle(db, database_url, log, operation)
        await _carried_out(bulk, database_url, log, operation)
        repeats = await db.fetch(
            """
            SELECT j.retry_of, count(*) AS jobs, count(q.job_id) AS queued, min(j.id) = max(x.retried_as) AS linked
            FROM jobs j LEFT JOIN job_queue q ON q.job_id = j.id
            LEFT JOIN job_retries x ON x.job_id = j.retry_of WHERE j.retry_of IS NOT NULL GROUP BY j.retry_of
            """
        )
        assert len(repeats) == FAILED
        assert {(row["jobs"], row["queued"], row["linked"]) for row in repeats} == {(1, 1, True)}
        assert await bulk.count(world.caller(), BulkAction.RETRY, JobFilter()) == 0
    finally:
        await db.close()


@pytest.mark.timeout(300)
async def test_a_cancel_that_is_killed_ends_every_job_once(database_url: str, tmp_path: Path) -> None:
    db = await open_pool(database_url)
    try:
        world = World(db)
        world.now = datetime.now(UTC)
        worker = await world.worker()
        await db.execute(_QUEUE, worker.id, "0", QUEUED)
        bulk = BulkOperations(db, clock=world.clock)
        operation = await bulk.start(world.caller(), BulkAction.CANCEL, JobFilter(worker_id=worker.id))
        log = tmp_path / "bulk.log"
        await _kill_in_the_middle(db, database_url, log, operation)
        await _carried_out(bulk, database_url, log, operation)
        ends = await db.fetch("SELECT status, count(*) AS jobs FROM job_results GROUP BY status")
        assert {row["status"]: row["jobs"] for row in ends} == {JobStatus.CANCELLED: QUEUED}
        assert await db.fetchval("SELECT count(*) FROM job_queue") == 0
        told = "SELECT count(*) AS all, count(DISTINCT subject_id) AS jobs FROM events WHERE type = 'job.cancelled'"
        row = await db.fetchrow(told)
        assert row is not None
        assert (row["all"], row["jobs"]) == (QUEUED, QUEUED)
    finally:
        await db.close()


@pytest.mark.timeout(300)
async def test_a_backfill_that_is_killed_fires_every_time_once(database_url: str, tmp_path: Path) -> None:
    db = await open_pool(database_url)
    try:
        world = ScheduleWorld(db)
        world.now = datetime.now(UTC).replace(microsecond=0)
        schedule = await world.schedule(enabled=False)
        backfills = Backfills(db, clock=world.clock, retention=timedelta(days=90))
        begin = world.now - timedelta(minutes=FIRINGS)
        started = await backfills.start(world.caller(), schedule.id, begin, world.now)
        assert started.matched in {FIRINGS, FIRINGS + 1}
        log = tmp_path / "backfill.log"
        await _kill_in_the_middle(db, database_url, log, started)
        async with killed_at_the_end(database_url, "backfill", log), asyncio.timeout(120):
            now = started
            while now.status is BackfillStatus.RUNNING:
                await asyncio.sleep(0.1)
                now = await backfills.get("ten_a", schedule.id, started.id)
        assert (now.status, now.done, now.failed, now.skipped) == ("completed", started.matched, 0, 0)
        rows = await db.fetch(
            """
            SELECT t.origin, t.status, count(*) AS ticks, count(DISTINCT j.scheduled_at) AS times, count(q.job_id) AS queued
            FROM jobs j LEFT JOIN ticks t ON t.job_id = j.id AND t.scheduled_for = j.scheduled_at
            LEFT JOIN job_queue q ON q.job_id = j.id GROUP BY 1, 2
            """
        )
        assert [tuple(row) for row in rows] == [("backfill", "fired", *(3 * [started.matched]))]
    finally:
        await db.close()
