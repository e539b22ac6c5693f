"""Trigger to result of a well-behaved warm worker, alone and while another tenant's misuses the machine.

The neighbour takes what it can get: a job that ends, as it should, is followed by the next one at
once. Its jobs are begun before the clock starts and go on until it stops.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.connection import Address, Connection
from tests.bench.latency import WARM_JOBS, latency_of
from tests.bench.result import Latency
from tests.bench.server import make_worker, run_jobs, serving

ALONE: Final = "alone"
AT_ONCE: Final = 2
"""Jobs of the neighbour: as many as there are cores where this was first measured."""
_HANDLER: Final = "import os, time\ndef handler(input, env):\n    "
MISUSE: Final = {
    "memory": _HANDLER + "a = []\n    while True: a.append(bytearray(os.urandom(1 << 20)) * 8)\n",
    "pids": _HANDLER
    + "while True:\n        try:\n            if os.fork() == 0: time.sleep(60)\n        except OSError: pass\n",
    "disk": _HANDLER + "while True:\n"
    "        with open('/tmp/x', 'wb') as f:\n            for _ in range(60): f.write(bytes(1 << 20))\n",
    "cpu": _HANDLER + "for _ in range(3): os.fork()\n    while True: pass\n",
}
_SECONDS: Final = 3
"""Timeout of the neighbour's jobs, so that each is killed and followed by another."""
_SETTLE_SECONDS: Final = 1.0


async def measure_neighbours(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure all of it on one fresh server."""
    figures = {}
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            run_jobs(connection, worker, WARM_JOBS)
            figures[ALONE] = latency_of(connection, worker, requests)
            for name, source in MISUSE.items():
                other = Connection(_other_tenant(server.address))
                with other, _misusing(other.address, _make_greedy(other, source)):
                    time.sleep(_SETTLE_SECONDS)  # noqa: ASYNC251  the neighbour is at work by then
                    figures[name] = latency_of(connection, worker, requests)
            figures["alone again"] = latency_of(connection, worker, requests)
    return figures


def _other_tenant(address: Address) -> Address:
    return msgspec.structs.replace(address, headers={**address.headers, "x-tenant-id": "ten_neighbour"})


def _make_greedy(connection: Connection, source: str) -> str:
    body = {"name": "greedy", "runtime": "python", "source_code": source, "timeout_seconds": _SECONDS}
    return str(connection.call("POST", "/v1/ava/workers", body)["data"]["id"])


@contextlib.contextmanager
def _misusing(address: Address, worker: str) -> Iterator[None]:
    """Keep some jobs of this worker running until the block ends."""
    over = threading.Event()

    def keep_busy() -> None:
        with Connection(address) as connection:
            while not over.is_set():
                connection.call("POST", "/v1/ava/jobs?wait=20", {"worker_id": worker, "input": {}})

    threads = [threading.Thread(target=keep_busy) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
