"""Single `POST /jobs` over HTTP, overlapping with execution.

The load generator has 64 connections with one request each on its way. The clock runs from the
first request until no job is queued or running; afterwards every job is read back.
"""

import subprocess
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.cpu import CpuMeter
from tests.bench.load import Load, Order
from tests.bench.process import ChildError, module_command, running, tail
from tests.bench.result import Throughput
from tests.bench.server import (
    all_ended,
    check_all_completed,
    make_worker,
    run_jobs,
    serving,
)

CONNECTIONS: Final = 64
WARM_JOBS: Final = 200


async def measure_submit(folder: Path, jobs: int) -> Throughput:
    """Measure it on a fresh server."""
    async with serving(folder) as server:
        with server.connect() as connection:
            worker = make_worker(connection)
            run_jobs(connection, worker, WARM_JOBS)
            body = {"worker_id": worker, "input": {"n": 1}}
            order = Order(
                host=server.address.host,
                port=server.address.port,
                request=server.address.render("POST", "/v1/ava/jobs", body),
                requests=jobs,
                connections=CONNECTIONS,
                expected_status=201,
            )
            meter = CpuMeter()
            load = await generate_load(order, folder)
            ended = await all_ended(connection, worker)
            cpu = meter.read()
            check_all_completed(connection, worker, WARM_JOBS + jobs)
    return Throughput(
        jobs=jobs,
        seconds=ended - load.began,
        per_second=jobs / (ended - load.began),
        cpu_us_per_job=1e6 * cpu.seconds / jobs,
        others_percent=cpu.others_percent,
        accepted_per_second=jobs / (load.ended - load.began),
        answer_p50_ms=load.p50_ms,
        answer_p99_ms=load.p99_ms,
    )


async def generate_load(order: Order, folder: Path) -> Load:
    """Run the load generator in a process of its own."""
    log = folder / "load.log"
    command = module_command("tests.bench.load")
    async with running(command, log=log, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        output, _ = await process.communicate(msgspec.json.encode(order))
        if process.returncode != 0:
            raise ChildError(f"the load generator failed:\n{tail(log)}")
    load = msgspec.json.decode(output, type=Load)
    if load.unexpected:
        raise ChildError(f"not every submit was answered {order.expected_status}: {load.unexpected}")
    return load
