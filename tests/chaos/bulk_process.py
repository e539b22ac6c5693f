"""`python -m tests.chaos.bulk_process DSN`: the loop that carries out bulk operations, until it is killed."""

import asyncio
import sys
from datetime import UTC, datetime

from runwright.bulk.service import BulkSteps
from runwright.db.pool import open_pool
from runwright.jobs.notifications import JobNotifications
from runwright.loops.bulk_runner import BulkRunner
from runwright.telemetry.emit import TelemetryEvent


def _emit(event: TelemetryEvent) -> None:
    sys.stderr.write(f"{event}\n")


async def main(dsn: str) -> None:
    """Carry out operations until killed."""
    db = await open_pool(dsn, max_size=2)
    notifications = JobNotifications(origin="bulk", send=lambda _: None)
    steps = BulkSteps(db, clock=lambda: datetime.now(UTC), notifications=notifications)
    runner = BulkRunner(steps, emit=_emit)
    await runner.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
