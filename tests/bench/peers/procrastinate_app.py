# mypy: disable-error-code="import-not-found"
"""The Procrastinate application: `worker`, `schema` or, with a number of jobs, the producer.

The producer is one asyncio process with as many calls in flight as a busy web process has.
"""

import asyncio
import os
import sys
import time

import uvloop
from procrastinate import App, PsycopgConnector

from tests.bench.peers.producer import print_span


async def do_nothing() -> None:
    """Be the handler."""


_connections = int(os.environ["BENCH_CONNECTIONS"])
app = App(
    connector=PsycopgConnector(conninfo=os.environ["BENCH_DSN"], min_size=_connections, max_size=_connections)
)
noop = app.task(name="noop", queue="bench")(do_nothing)


async def work() -> None:
    """Run one worker until it is told to stop."""
    async with app.open_async():
        await app.run_worker_async(
            queues=["bench"],
            concurrency=int(os.environ["BENCH_CONCURRENCY"]),
            fetch_job_polling_interval=0.2,
            delete_jobs="never",
        )


async def make_schema() -> None:
    """Create the tables in a fresh database."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def produce(jobs: int, in_flight: int) -> None:
    """Defer jobs, one call each, `in_flight` at a time."""
    turns = iter(range(jobs))

    async def defer_some() -> None:
        for _ in turns:
            await noop.defer_async()

    async with app.open_async():
        began = time.monotonic()
        await asyncio.gather(*(defer_some() for _ in range(in_flight)))
        print_span(began)


if __name__ == "__main__":
    match sys.argv[-1]:
        case "worker":
            uvloop.run(work())
        case "schema":
            uvloop.run(make_schema())
        case number:
            uvloop.run(produce(int(number), int(os.environ["BENCH_IN_FLIGHT"])))
