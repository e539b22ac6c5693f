"""Celery with Redis as broker and as result store."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.peers.peer import Bed, package_missing
from tests.bench.peers.redis_count import database_size
from tests.bench.process import module_command
from tests.bench.redis_server import SETTINGS, find_redis, redis_running

PROCESSES: Final = 2
THREADS: Final = "4"


class CeleryPeer:
    """Celery + Redis."""

    name = "celery"
    package = "celery"
    settings = (
        f"{PROCESSES} solo workers, prefetch 64, early ack, no gossip/mingle/heartbeat; Redis {SETTINGS}"
    )

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""
        return package_missing("celery", "redis") or (None if find_redis() else "redis-server not found")

    @contextlib.asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Bed]:
        """Start Redis in `folder`; results are the only keys of its database 1."""
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
        module = "tests.bench.peers.celery_app"
        worker = module_command("celery", "-A", module, "worker", "-P", "solo", *quiet)
        async with redis_running(folder) as socket, database_size(socket, database=1) as completed:
            yield Bed(
                folder=folder,
                env={"BENCH_REDIS_SOCKET": str(socket), "BENCH_THREADS": THREADS},
                workers=[[*worker, "-n", f"worker{number}@bench"] for number in range(PROCESSES)],
                producer=module_command(module),
                completed=completed,
            )
