"""First job of a new worker, beside a bare start of the interpreter that runs it.

Every worker is new and its source unique, so nothing can have been loaded before. Between two
of them the server gets a second to pre-boot a sandbox again. The clock runs over the one
`POST /jobs?wait` request, so two durable commits are in it, on a server that has slept for that
second. What the cold start adds is shown by the next job of the same worker, after the same pause.

deno and wasm are kept in stock only where one of their workers ran lately, so one has run before;
what that very first one costs stands in the table as well. A wasm worker is measured twice:
with a module that nobody has compiled yet, and another worker with the same module.

Workers with a bundle are new to the machine as well: the files are fetched and unpacked, and the
sandbox, which mounts them, is booted for the job.
"""

import asyncio
import base64
import subprocess
import time
from pathlib import Path
from typing import Final

from runwright.runtimes.probe import probe_host
from tests.bench.connection import Connection
from tests.bench.latency import check_completed
from tests.bench.result import Latency
from tests.bench.server import NOOP, Server, make_worker, run_jobs, serving
from tests.contract.bundles import zip_of

REFILL_SECONDS: Final = 1.0
STOCK_SECONDS: Final = 5.0
DENO: Final = "export default async (): Promise<number> => 1\n"
SOURCES: Final = {**NOOP, "deno": DENO}
EMPTY: Final = "empty.ts"
BARE: Final = {"python": ["-c", "pass"], "nodejs": ["-e", "0"], "deno": ["run", EMPTY]}
ENTRYPOINTS: Final = {"python": "main.py", "nodejs": "index.js"}
COMMENT: Final = {"python": "#", "nodejs": "//", "deno": "//"}
MODULE: Final = Path(__file__).parents[1] / "e2e" / "wasm" / "statistics.wasm"
NEXT: Final = "its next job"
NUMBERS: Final = {"numbers": [3, 1, 2]}


async def measure_cold(folder: Path, workers: int) -> dict[str, Latency]:
    """Measure the runtimes and bare starts of their interpreters."""
    figures: dict[str, Latency] = {}
    async with serving(folder) as server:
        with server.connect() as connection:
            run_jobs(connection, make_worker(connection), 20)
            for runtime in NOOP:
                figures |= await _first_and_next(connection, runtime, workers)
            for runtime in NOOP:
                figures[f"{runtime}, a bundle"] = Latency.of(
                    await _first_bundles(connection, runtime, workers)
                )
            figures["deno, the very first"] = (await _first_and_next(connection, "deno", 1))["deno"]
            await asyncio.sleep(STOCK_SECONDS)
            figures |= await _first_and_next(connection, "deno", workers)
        figures |= await _measure_modules(server, workers)
    runtimes = (await asyncio.to_thread(probe_host)).runtimes
    (folder / EMPTY).touch()
    for runtime, arguments in BARE.items():
        path = runtimes[runtime].path
        if path is not None:
            figures[f"bare {runtime}"] = _bare([path, *arguments], workers, folder)
    return figures


async def _first_and_next(connection: Connection, runtime: str, workers: int) -> dict[str, Latency]:
    first, following = [], []
    for number in range(workers):
        source = f"{SOURCES[runtime]}{COMMENT[runtime]} {number}\n"
        worker = make_worker(connection, runtime, source=source)
        first.append(await _job(connection, worker, {}))
        following.append(await _job(connection, worker, {}))
    return {runtime: Latency.of(first), f"{runtime}, {NEXT}": Latency.of(following)}


async def _first_bundles(connection: Connection, runtime: str, workers: int) -> list[float]:
    seconds = []
    for number in range(workers):
        worker = make_worker(connection, runtime)
        bundle = zip_of({ENTRYPOINTS[runtime]: NOOP[runtime], "number.txt": str(number)})
        connection.call("POST", f"/v1/ava/workers/{worker}/deploy", bundle, kind="application/zip")
        seconds.append(await _job(connection, worker, {}))
    return seconds


async def _measure_modules(server: Server, workers: int) -> dict[str, Latency]:
    """Measure first jobs of wasm workers, with modules to compile and with compiled ones."""
    with server.connect() as connection:

        def make(number: int) -> str:
            return make_worker(connection, "wasm", source=_module(number))

        first = await _job(connection, make(-1), NUMBERS)
        await asyncio.sleep(STOCK_SECONDS)
        compiling, cached, following = [], [], []
        for number in range(workers):
            compiling.append(await _job(connection, make(number), NUMBERS))
            worker = make(number)
            cached.append(await _job(connection, worker, NUMBERS))
            following.append(await _job(connection, worker, NUMBERS))
    return {
        "wasm, the very first": Latency.of([first]),
        "wasm, not compiled yet": Latency.of(compiling),
        "wasm": Latency.of(cached),
        f"wasm, {NEXT}": Latency.of(following),
    }


def _module(number: int) -> str:
    """Return a module from a C compiler, in base64, with a custom section of its own."""
    name = f"{number}".encode()
    section = bytes([0, len(name) + 1, len(name)]) + name
    return base64.b64encode(MODULE.read_bytes() + section).decode()


async def _job(connection: Connection, worker: str, job_input: dict[str, list[int]]) -> float:
    body = {"worker_id": worker, "input": job_input}
    request = connection.address.render("POST", "/v1/ava/jobs?wait=10", body)
    await asyncio.sleep(REFILL_SECONDS)
    began = time.perf_counter()
    status, content = connection.exchange(request)
    seconds = time.perf_counter() - began
    check_completed(status, content)
    return seconds


def _bare(command: list[str], times: int, folder: Path) -> Latency:
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=folder)
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds[1:])  # the first one reads the disk
