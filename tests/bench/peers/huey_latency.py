"""Trigger to result with huey and Redis: trusted functions in the consumer's process."""

from pathlib import Path
from typing import Final

import msgspec

from tests.bench.peers.peer import package_missing
from tests.bench.process import module_command, output_of, running
from tests.bench.redis_server import SETTINGS, find_redis, redis_running
from tests.bench.result import Latency

PACKAGE: Final = "huey"
WORKER_THREADS: Final = "4"
WARM_CALLS: Final = 100
DESCRIPTION: Final = (
    f"one consumer of {WORKER_THREADS} threads, blocking reads, results notified; Redis {SETTINGS}"
)
_APP: Final = "tests.bench.peers.huey_app"


def huey_missing() -> str | None:
    """Say why huey cannot run here, if so."""
    return package_missing(PACKAGE, "redis") or (None if find_redis() else "redis-server not found")


async def measure_huey(folder: Path, calls: int) -> Latency:
    """Measure calls, one at a time, from the call to the result."""
    async with redis_running(folder) as socket:
        env = {"BENCH_REDIS_SOCKET": str(socket)}
        consumer = module_command(
            "huey.bin.huey_consumer", f"{_APP}.huey", "-w", WORKER_THREADS, "-k", "thread"
        )
        async with running(consumer, log=folder / "consumer.log", env=env):
            caller = module_command("tests.bench.peers.huey_caller", str(WARM_CALLS), str(calls))
            output = await output_of(caller, log=folder / "caller.log", env=env)
    return Latency.of(msgspec.json.decode(output, type=list[float]))
