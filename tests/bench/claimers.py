"""Executors that claim from one queue, against the ideal: jobs of a second each, in every slot without a pause.

The jobs sleep, so that the processors are no limit; every sandbox is warm before the clock starts. The clock
runs from the request that submits the jobs to the end of the last one, by the server's own times.
"""

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.bench.connection import Connection
from tests.bench.executors import executing, split_settings
from tests.bench.postgres import postgres_running
from tests.bench.result import Claimers
from tests.bench.server import (
    Server,
    all_ended,
    check_all_completed,
    make_worker,
    serving,
)

EXECUTORS: Final = (1, 2, 3, 10)
SLOTS: Final = 8
CONNECTIONS: Final = 200
JOB_SECONDS: Final = 1.0
WARM_TURNS: Final = 2
TURNS: Final = 8
_SLEEP: Final = f"import time\ndef handler(input, env):\n    time.sleep({JOB_SECONDS})\n    return 1\n"


async def measure_claimers(folder: Path) -> list[Claimers]:
    """Measure each number of executors on fresh processes and one database."""
    # The embedded server is set for one process; an executor has several connections.
    async with contextlib.AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(postgres_running(folder, max_connections=CONNECTIONS))
        env = {
            **split_settings(dsn),
            "RUNWRIGHT_DB_POOL_SIZE": "2",
            "RUNWRIGHT_EXECUTOR_SLOTS": str(SLOTS),
            "RUNWRIGHT_EXECUTOR_NEWCOMER_SLOTS": "0",
        }
        roles = ("--roles", "api,scheduler", "--migrate")
        async with serving(folder, *roles, env=env) as server:
            return [await _measure(folder, server, env, number) for number in EXECUTORS]


async def _measure(folder: Path, server: Server, env: dict[str, str], executors: int) -> Claimers:
    async with contextlib.AsyncExitStack() as stack:
        starts = [executing(folder, env, n) for n in range(executors)]
        await asyncio.gather(*(stack.enter_async_context(start) for start in starts))
        connection = stack.enter_context(server.connect())  # not idle while the executors start
        worker = make_worker(connection, source=_SLEEP)
        warm, jobs = WARM_TURNS * executors * SLOTS, TURNS * executors * SLOTS
        _submit(connection, worker, warm)
        await all_ended(connection, worker)
        ids = _submit(connection, worker, jobs)
        await all_ended(connection, worker)
        check_all_completed(connection, worker, warm + jobs)
        seconds = _seconds_of(connection, ids)
    return Claimers(executors=executors, jobs=jobs, seconds=seconds, of_ideal=TURNS * JOB_SECONDS / seconds)


def _submit(connection: Connection, worker: str, jobs: int) -> list[str]:
    body = {"jobs": [{"worker_id": worker, "input": {}}] * jobs}
    answer = connection.call("POST", "/v1/ava/jobs/batch", body)
    return [str(job["id"]) for job in answer["data"]]


def _seconds_of(connection: Connection, ids: list[str]) -> float:
    """Return the time from the submission of these jobs to the end of the last one."""
    jobs = [connection.call("GET", f"/v1/ava/jobs/{job_id}")["data"] for job_id in ids]
    created = min(datetime.fromisoformat(job["created_at"]) for job in jobs)
    return (max(datetime.fromisoformat(job["completed_at"]) for job in jobs) - created).total_seconds()
