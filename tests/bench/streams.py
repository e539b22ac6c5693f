"""Trigger to result, without streams of events and with 200 of them open, in turns on one server.

A quarter of the streams are of the tenant whose jobs are measured, so each of its jobs sends three events to
50 clients. A process of its own reads what comes.
"""

import asyncio
import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.latency import check_completed
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import TENANT, Server, make_worker, run_jobs, serving

NONE: Final = "no streams"
OPEN: Final = "200 streams"
STREAMS: Final = 200
TENANTS: Final = 4
WARM_JOBS: Final = 100
TURNS: Final = 5
READY: Final = "reading"


async def measure_streams(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure both in turns, so that what else the machine does falls on both."""
    seconds: dict[str, list[float]] = {NONE: [], OPEN: []}
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            run_jobs(connection, worker, WARM_JOBS)
            body = {"worker_id": worker, "input": {"n": 1}}
            request = server.address.render("POST", "/v1/ava/jobs?wait=10", body)
            for turn in range(2 * TURNS):
                name = OPEN if turn % 2 else NONE
                async with _streaming(server) if turn % 2 else contextlib.nullcontext():
                    for _ in range(requests // TURNS):
                        began = time.perf_counter()
                        status, content = connection.exchange(request)
                        seconds[name].append(time.perf_counter() - began)
                        check_completed(status, content)
    return {name: Latency.of(taken) for name, taken in seconds.items()}


@contextlib.asynccontextmanager
async def _streaming(server: Server) -> AsyncIterator[None]:
    """Read the streams in a process until the block ends."""
    address = server.address
    order = json.dumps({"host": address.host, "port": address.port, "headers": address.headers})
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.streams", order), stdout=subprocess.PIPE
    )
    try:
        assert reader.stdout is not None
        line = await asyncio.wait_for(reader.stdout.readline(), 60)
        if line.decode().strip() != READY:
            raise ChildError("the streams did not open")
        yield
    finally:
        reader.kill()
        await reader.wait()


def read_streams(order: str) -> None:
    """Open the streams, report it, and read until this process is killed."""
    target = json.loads(order)
    waiting = selectors.DefaultSelector()
    opened = 0
    for number in range(STREAMS):
        stream = socket.create_connection((target["host"], target["port"]))
        tenant = TENANT if number % TENANTS == 0 else f"ten_bench_{number % TENANTS}"
        headers = target["headers"] | {"x-tenant-id": tenant}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        stream.sendall(f"GET /v1/ava/stream HTTP/1.1\r\nhost: bench\r\n{lines}\r\n".encode())
        waiting.register(stream, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            assert isinstance(key.fileobj, socket.socket)
            received = key.fileobj.recv(1 << 18)
            if not received:
                raise ChildError("a stream ended")
            if b"event: open" in received:
                opened += 1
                if opened == STREAMS:
                    sys.stdout.write(f"{READY}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    read_streams(sys.argv[1])
