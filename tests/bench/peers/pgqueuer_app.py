# mypy: disable-error-code="import-not-found"
"""The PgQueuer application: `worker`, `schema` or, with a number of jobs, the producer."""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, Job, PgQueuer, Queries

from tests.bench.peers.producer import print_span

ENTRYPOINT = "noop"


async def do_nothing(job: Job) -> None:
    """Be the handler."""


async def work() -> None:
    """Run one worker until it is told to stop."""
    connection = await asyncpg.connect(os.environ["BENCH_DSN"])
    manager = PgQueuer(AsyncpgDriver(connection))
    manager.entrypoint(ENTRYPOINT)(do_nothing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    await manager.run(
        batch_size=int(os.environ["BENCH_BATCH"]),
        dequeue_timeout=timedelta(seconds=1),
        log_aggregation_interval=timedelta(0),
    )


async def make_schema() -> None:
    """Create the tables in a fresh database."""
    await Queries(AsyncpgDriver(await asyncpg.connect(os.environ["BENCH_DSN"]))).install()


async def produce(jobs: int, in_flight: int) -> None:
    """Enqueue jobs, one call each, `in_flight` at a time."""
    pool = await asyncpg.create_pool(os.environ["BENCH_DSN"], min_size=8, max_size=8)
    queries = Queries(AsyncpgPoolDriver(pool))
    turns = iter(range(jobs))

    async def enqueue_some() -> None:
        for _ in turns:
            await queries.enqueue(ENTRYPOINT, None)

    began = time.monotonic()
    await asyncio.gather(*(enqueue_some() for _ in range(in_flight)))
    print_span(began)
    await pool.close()


if __name__ == "__main__":
    match sys.argv[-1]:
        case "worker":
            uvloop.run(work())
        case "schema":
            uvloop.run(make_schema())
        case number:
            uvloop.run(produce(int(number), int(os.environ["BENCH_IN_FLIGHT"])))
