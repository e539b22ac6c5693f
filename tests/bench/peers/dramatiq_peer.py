"""Dramatiq with Redis as broker and as result store."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.peers.peer import Bed, package_missing
from tests.bench.peers.redis_count import database_size
from tests.bench.process import module_command
from tests.bench.redis_server import SETTINGS, find_redis, redis_running

PROCESSES: Final = "2"
WORKER_THREADS: Final = "16"
PREFETCH: Final = "1000"
THREADS: Final = "1"


class DramatiqPeer:
    """Dramatiq + Redis."""

    name = "dramatiq"
    package = "dramatiq"
    settings = (
        f"{PROCESSES} processes x {WORKER_THREADS} threads, prefetch {PREFETCH}, results stored; "
        f"Redis {SETTINGS}"
    )

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""
        return package_missing("dramatiq", "redis") or (None if find_redis() else "redis-server not found")

    @contextlib.asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Bed]:
        """Start Redis in `folder`; results are the only keys of its database 1."""
        module = "tests.bench.peers.dramatiq_app"
        size = ["--processes", PROCESSES, "--threads", WORKER_THREADS]
        async with redis_running(folder) as socket, database_size(socket, database=1) as completed:
            yield Bed(
                folder=folder,
                env={
                    "BENCH_REDIS_SOCKET": str(socket),
                    "BENCH_THREADS": THREADS,
                    "dramatiq_queue_prefetch": PREFETCH,
                },
                workers=[module_command("dramatiq", module, *size)],
                producer=module_command(module),
                completed=completed,
            )
