"""Trigger to result: `POST /jobs?wait`, one at a time, on a warm python worker.

With one process, with API and executor as two processes, and beside them a call of huey and its result.
"""

import time
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.connection import Connection
from tests.bench.executors import executing, split_settings
from tests.bench.peers.huey_latency import huey_missing, measure_huey
from tests.bench.postgres import postgres_running
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.results import OURS
from tests.bench.server import Server, make_worker, run_jobs, serving

WARM_JOBS: Final = 100


SPLIT: Final = "API and executor apart"
HUEY: Final = "huey"


async def measure_wait(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure each on fresh servers, over one kept-alive connection."""
    async with serving(folder) as server:
        measured = {OURS: _of_server(server, requests)}
    measured[SPLIT] = await _split(folder, requests)
    if huey_missing() is None:
        measured[HUEY] = await measure_huey(folder, requests)
    return measured


async def _split(folder: Path, requests: int) -> Latency:
    place = folder / "split"
    place.mkdir(mode=0o711)
    async with postgres_running(place) as dsn:
        env = split_settings(dsn)
        roles = ("--roles", "api,scheduler", "--migrate")
        async with serving(place, *roles, env=env) as server, executing(place, env):
            return _of_server(server, requests)


def _of_server(server: Server, requests: int) -> Latency:
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
