"""How a peer is measured: the same two procedures for all of them.

submit  Workers run and are warm. One producer enqueues N jobs, one call each. The clock runs
        from the first call until the last result is stored.
drain   N jobs are enqueued while no worker runs. Then the workers start; the clock runs from the
        first look that sees a stored result (so that start-up is not counted) until the last one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from tests.bench.cpu import CpuMeter
from tests.bench.pace import Pace
from tests.bench.peers.peer import Bed, Span
from tests.bench.process import ChildError, output_of, running, tail
from tests.bench.result import Throughput

WARM_JOBS: Final = 200


async def measure_submit(bed: Bed, jobs: int) -> Throughput:
    """Measure single submits overlapping with execution."""
    async with _workers(bed):
        await _produce(bed, WARM_JOBS)
        await _count_reaches(bed, WARM_JOBS)
        meter = CpuMeter()
        span = await _produce(bed, jobs)
        ended = await _count_reaches(bed, WARM_JOBS + jobs)
        cpu = meter.read()
    return Throughput(
        jobs=jobs,
        seconds=ended - span.began,
        per_second=jobs / (ended - span.began),
        cpu_us_per_job=1e6 * cpu.seconds / jobs,
        others_percent=cpu.others_percent,
        accepted_per_second=jobs / (span.ended - span.began),
    )


async def measure_drain(bed: Bed, jobs: int) -> Throughput:
    """Measure how fast a backlog is worked off."""
    await _produce(bed, jobs)
    async with _workers(bed):
        await _count_reaches(bed, 1)
        before, began, meter = await bed.completed(), time.monotonic(), CpuMeter()
        ended = await _count_reaches(bed, jobs)
        cpu = meter.read()
    done = jobs - before
    return Throughput(
        jobs=done,
        seconds=ended - began,
        per_second=done / (ended - began),
        cpu_us_per_job=1e6 * cpu.seconds / done,
        others_percent=cpu.others_percent,
    )


@contextlib.asynccontextmanager
async def _workers(bed: Bed) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for command in bed.workers:
            await stack.enter_async_context(running(command, log=bed.folder / "worker.log", env=bed.env))
        yield


async def _produce(bed: Bed, jobs: int) -> Span:
    output = await output_of([*bed.producer, str(jobs)], log=bed.folder / "producer.log", env=bed.env)
    return msgspec.json.decode(output.strip().rpartition(b"\n")[2], type=Span)


async def _count_reaches(bed: Bed, target: int) -> float:
    """Return the time at which a look first saw `target` stored results."""
    pace = Pace()
    while (count := await bed.completed()) < target:
        pause = pace.pause_after(target - count)
        if pace.stalled:
            raise ChildError(f"stalled at {count} of {target} jobs:\n{tail(bed.folder / 'worker.log')}")
        await asyncio.sleep(pause)
    return time.monotonic()
