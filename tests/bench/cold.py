"""First job of a new worker, beside a bare start of the interpreter that runs it.

Every worker is new and its source unique, so nothing can have been loaded before. Between two
of them the server gets a second to pre-boot a sandbox again. The clock runs over the one
`POST /jobs?wait` request.
"""

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Final

from runwright.runtimes.probe import probe_host
from tests.bench.connection import Connection
from tests.bench.latency import check_completed
from tests.bench.result import Latency
from tests.bench.server import NOOP, make_worker, run_jobs, serving

REFILL_SECONDS: Final = 1.0
BARE: Final = {"python": ["-c", "pass"], "nodejs": ["-e", "0"]}
COMMENT: Final = {"python": "#", "nodejs": "//"}


async def measure_cold(folder: Path, workers: int) -> dict[str, Latency]:
    """Measure both runtimes and both bare starts."""
    figures = {}
    async with serving(folder) as server:
        with server.connect() as connection:
            run_jobs(connection, make_worker(connection), 20)
            for runtime in NOOP:
                figures[runtime] = Latency.of(await _first_jobs(connection, runtime, workers))
    runtimes = (await asyncio.to_thread(probe_host)).runtimes
    for runtime, arguments in BARE.items():
        path = runtimes[runtime].path
        if path is not None:
            figures[f"bare {runtime}"] = _bare([path, *arguments], workers)
    return figures


async def _first_jobs(connection: Connection, runtime: str, workers: int) -> list[float]:
    seconds = []
    for number in range(workers):
        source = f"{NOOP[runtime]}{COMMENT[runtime]} {number}\n"
        body = {"worker_id": make_worker(connection, runtime, source=source), "input": {}}
        request = connection.address.render("POST", "/v1/ava/jobs?wait=10", body)
        await asyncio.sleep(REFILL_SECONDS)
        began = time.perf_counter()
        status, content = connection.exchange(request)
        seconds.append(time.perf_counter() - began)
        check_completed(status, content)
    return seconds


def _bare(command: list[str], times: int) -> Latency:
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds[1:])  # the first one reads the disk
