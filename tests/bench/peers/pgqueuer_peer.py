"""PgQueuer with PostgreSQL: in-process and batched; it keeps no return values, only how jobs ended."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tests.bench.peers.peer import Bed, package_missing
from tests.bench.postgres import SETTINGS, counting, postgres_running
from tests.bench.process import module_command, output_of

PROCESSES: Final = "2"
BATCH: Final = "500"
IN_FLIGHT: Final = "16"


class PgQueuerPeer:
    """PgQueuer + PostgreSQL."""

    name = "pgqueuer"
    package = "pgqueuer"
    settings = f"{PROCESSES} workers, batches of {BATCH}, uvloop, no results stored; {SETTINGS}"

    def missing(self) -> str | None:
        """Say why this peer cannot run here, if so."""
        return package_missing("pgqueuer")

    @contextlib.asynccontextmanager
    async def open(self, folder: Path) -> AsyncIterator[Bed]:
        """Start PostgreSQL in `folder` and create the tables."""
        module = "tests.bench.peers.pgqueuer_app"
        finished = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"
        async with postgres_running(folder) as dsn, counting(dsn, finished) as completed:
            env = {"BENCH_DSN": dsn, "BENCH_BATCH": BATCH, "BENCH_IN_FLIGHT": IN_FLIGHT}
            await output_of(module_command(module, "schema"), log=folder / "schema.log", env=env)
            yield Bed(
                folder=folder,
                env=env,
                workers=[module_command(module, "worker")] * int(PROCESSES),
                producer=module_command(module),
                completed=completed,
            )
