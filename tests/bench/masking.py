"""Hiding secrets: how long `/livez` takes while jobs write and return much, and how much is masked in a second.

The worker lists 50 secrets of two short lines with a letter that is not ASCII. Its jobs write 4 MB of log
and return 1 MB of `aaaa…` with a few escapes, four at a time. Another tenant's job runs all the while.
"""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.bench.connection import Connection
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import Server, make_worker, serving

SECRETS: Final = 50
ROUNDS: Final = 2
AT_ONCE: Final = 4
MEGABYTES: Final = 5.0
PAUSE_SECONDS: Final = 0.005
WRITER: Final = r"""
def handler(input, env):
    for _ in range(256):
        print("a" * 8000 + "%2541 \\x41 &amp;amp;" + "a" * 7900)
    return "a" * 500000 + "%2541 \\x41 &amp;amp;" + "a" * 500000
"""
SLEEPER: Final = "import time\ndef handler(input, env):\n    time.sleep(input['seconds'])\n    return 1\n"


class Masking(msgspec.Struct, frozen=True):
    """`other` is how the other tenant's job ended."""

    alone: Latency
    beside: Latency
    megabytes_per_second: float
    other: str


async def measure_masking(folder: Path) -> Masking:
    """Measure it on a fresh server."""
    async with serving(folder) as server:
        return await asyncio.to_thread(_measure, server)


def _measure(server: Server) -> Masking:
    other_headers = {**server.address.headers, "x-tenant-id": "ten_other"}
    other_address = msgspec.structs.replace(server.address, headers=other_headers)
    with server.connect() as connection, Connection(other_address) as other:
        worker = _make_writer(connection)
        sleeper = make_worker(other, source=SLEEPER)
        alone = _livez(connection, 300, threading.Event())
        body = {"worker_id": sleeper, "input": {"seconds": 20}}
        slept = other.call("POST", "/v1/ava/jobs", body)["data"]["id"]
        over = threading.Event()
        writers = [threading.Thread(target=_write, args=(server, worker)) for _ in range(AT_ONCE)]
        began = time.perf_counter()
        for writer in writers:
            writer.start()
        watcher = threading.Thread(target=_wait_for, args=(writers, over))
        watcher.start()
        beside = _livez(connection, 1_000_000, over)
        watcher.join()
        seconds = time.perf_counter() - began
        while (ended := other.call("GET", f"/v1/ava/jobs/{slept}")["data"]["status"]) in {
            "queued",
            "running",
        }:
            time.sleep(0.5)
    return Masking(alone, beside, AT_ONCE * ROUNDS * MEGABYTES / seconds, str(ended))


def _wait_for(writers: list[threading.Thread], over: threading.Event) -> None:
    for writer in writers:
        writer.join()
    over.set()


def _make_writer(connection: Connection) -> str:
    names = [f"SECRET_{number}" for number in range(SECRETS)]
    for number, name in enumerate(names):
        value = f"first-line-{number}-é\nsecond-line-{number}-é"
        connection.call("PUT", f"/v1/ava/secrets/{name}", {"value": value})
    body: dict[str, Any] = {"name": "writer", "runtime": "python", "source_code": WRITER, "secrets": names}
    return str(connection.call("POST", "/v1/ava/workers", body)["data"]["id"])


def _write(server: Server, worker: str) -> None:
    with server.connect() as connection:
        for _ in range(ROUNDS):
            job = connection.call("POST", "/v1/ava/jobs?wait=60", {"worker_id": worker, "input": {}})["data"]
            if job["status"] != "completed":
                raise ChildError(f"the job ended as {job['status']}: {job['error']}")


def _livez(connection: Connection, requests: int, over: threading.Event) -> Latency:
    request = connection.address.render("GET", "/livez", None)
    seconds = []
    for _ in range(requests):
        if over.is_set():
            break
        began = time.perf_counter()
        status, _ = connection.exchange(request)
        seconds.append(time.perf_counter() - began)
        if status != 200:
            raise ChildError(f"/livez answered {status}")
        time.sleep(PAUSE_SECONDS)
    return Latency.of(seconds)
