"""Drain of a backlog.

The backlog is submitted in batches while its worker is active, but due a little later; the worker
is paused before that. When all jobs are due and still queued, the worker is set active again. The
clock runs from that request until no job is queued or running; afterwards every job is read back.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.bench.connection import Connection
from tests.bench.cpu import CpuMeter
from tests.bench.process import ChildError
from tests.bench.result import Throughput
from tests.bench.server import (
    all_ended,
    check_all_completed,
    count_jobs,
    make_worker,
    run_jobs,
    serving,
)

BATCH: Final = 1000
WARM_JOBS: Final = 200
DUE_SECONDS: Final = 15.0
SETTLE_SECONDS: Final = 3.0


async def measure_drain(folder: Path, jobs: int) -> Throughput:
    """Measure it on a fresh server."""
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            return await drained(connection, worker, jobs)


async def drained(connection: Connection, worker: str, jobs: int) -> Throughput:
    """Measure it with a worker that has no jobs yet."""
    run_jobs(connection, worker, WARM_JOBS)
    await _fill(connection, worker, jobs)
    meter, began = CpuMeter(), time.monotonic()
    connection.call("PATCH", f"/v1/ava/workers/{worker}", {"status": "active"})
    ended = await all_ended(connection, worker)
    cpu = meter.read()
    check_all_completed(connection, worker, WARM_JOBS + jobs)
    return Throughput(
        jobs=jobs,
        seconds=ended - began,
        per_second=jobs / (ended - began),
        cpu_us_per_job=1e6 * cpu.seconds / jobs,
        others_percent=cpu.others_percent,
    )


async def _fill(connection: Connection, worker: str, jobs: int) -> None:
    """Leave `jobs` due jobs queued behind a paused worker."""
    due = datetime.now(UTC) + timedelta(seconds=DUE_SECONDS)
    job = {"worker_id": worker, "input": {"n": 1}, "scheduled_at": due.isoformat()}
    for start in range(0, jobs, BATCH):
        batch = {"jobs": [job] * min(BATCH, jobs - start)}
        connection.call("POST", "/v1/ava/jobs/batch", batch)
    connection.call("PATCH", f"/v1/ava/workers/{worker}", {"status": "paused"})
    left = (due - datetime.now(UTC)).total_seconds()
    if left < 0:
        raise ChildError("filling the backlog took longer than expected; jobs began to run")
    await asyncio.sleep(left + SETTLE_SECONDS)
    if count_jobs(connection, worker, "completed") != WARM_JOBS or count_jobs(connection, worker, "running"):
        raise ChildError("the backlog did not wait for its worker")
