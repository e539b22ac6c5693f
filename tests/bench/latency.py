"""Trigger to result: `POST /jobs?wait`, one at a time, on a warm python worker."""

import time
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.connection import Connection
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import make_worker, run_jobs, serving

WARM_JOBS: Final = 100


async def measure_wait(folder: Path, requests: int) -> Latency:
    """Measure it on a fresh server, over one kept-alive connection."""
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            run_jobs(connection, worker, WARM_JOBS)
            return latency_of(connection, worker, requests)


def latency_of(connection: Connection, worker: str, requests: int) -> Latency:
    """Measure jobs of a worker, one at a time, each with a request that waits for its result."""
    body = {"worker_id": worker, "input": {"n": 1}}
    request = connection.address.render("POST", "/v1/ava/jobs?wait=10", body)
    seconds = []
    for _ in range(requests):
        began = time.perf_counter()
        status, content = connection.exchange(request)
        seconds.append(time.perf_counter() - began)
        check_completed(status, content)
    return Latency.of(seconds)


class _Job(msgspec.Struct):
    status: str


class _Answer(msgspec.Struct):
    data: _Job


def check_completed(status: int, content: bytes) -> None:
    """See that an answer to `?wait` holds a completed job."""
    if status != 201 or msgspec.json.decode(content, type=_Answer).data.status != "completed":
        raise ChildError(f"the job did not complete: {status} {content[:500].decode(errors='replace')}")
