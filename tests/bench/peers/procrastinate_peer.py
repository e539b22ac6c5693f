"""Procrastinate with PostgreSQL. It keeps no return values; the stored result is the job's end."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.peers.peer import Bed, package_missing
from tests.bench.postgres import SETTINGS, counting, postgres_running
from tests.bench.process import module_command, output_of

PROCESSES: Final = "2"
CONCURRENCY: Final = "4"
CONNECTIONS: Final = "4"
IN_FLIGHT: Final = "16"


class ProcrastinatePeer:
    """Procrastinate + PostgreSQL."""

    name = "procrastinate"
    package = "procrastinate"
    settings = (
        f"{PROCESSES} workers x concurrency {CONCURRENCY}, {CONNECTIONS} connections each, "
        f"listen/notify, uvloop; {SETTINGS}"
    )

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""
        return package_missing("procrastinate", "psycopg", "psycopg-pool")

    @contextlib.asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Bed]:
        """Start PostgreSQL in `folder` and create the tables."""
        module = "tests.bench.peers.procrastinate_app"
        finished = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        async with postgres_running(folder) as dsn, counting(dsn, finished) as completed:
            env = {
                "BENCH_DSN": dsn,
                "BENCH_CONCURRENCY": CONCURRENCY,
                "BENCH_CONNECTIONS": CONNECTIONS,
                "BENCH_IN_FLIGHT": IN_FLIGHT,
            }
            await output_of(module_command(module, "schema"), log=folder / "schema.log", env=env)
            yield Bed(
                folder=folder,
                env=env,
                workers=[module_command(module, "worker")] * int(PROCESSES),
                producer=module_command(module),
                completed=completed,
            )
