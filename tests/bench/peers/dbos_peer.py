"""DBOS with PostgreSQL."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.peers.peer import Bed, package_missing
from tests.bench.postgres import SETTINGS, counting, postgres_running
from tests.bench.process import module_command, output_of

PROCESSES: Final = "1"
CONCURRENCY: Final = "200"
CONNECTIONS: Final = "20"
POLLING: Final = "0.02"
THREADS: Final = "8"


class DbosPeer:
    """DBOS + PostgreSQL."""

    name = "dbos"
    package = "dbos"
    settings = (
        f"{PROCESSES} worker x concurrency {CONCURRENCY}, {CONNECTIONS} connections, "
        f"polls every {POLLING} s; {SETTINGS}"
    )

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""
        return package_missing("dbos", "psycopg")

    @contextlib.asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Bed]:
        """Start PostgreSQL in `folder` and create the tables."""
        module = "tests.bench.peers.dbos_app"
        finished = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
        async with postgres_running(folder) as dsn, counting(dsn, finished) as completed:
            env = {
                "BENCH_DSN": dsn,
                "BENCH_CONCURRENCY": CONCURRENCY,
                "BENCH_CONNECTIONS": CONNECTIONS,
                "BENCH_POLLING": POLLING,
                "BENCH_THREADS": THREADS,
            }
            await output_of(module_command(module, "schema"), log=folder / "schema.log", env=env)
            yield Bed(
                folder=folder,
                env=env,
                workers=[module_command(module, "worker")] * int(PROCESSES),
                producer=module_command(module),
                completed=completed,
            )
