"""`python -m tests.chaos.step_process DSN bulk|backfill`: the loop of these operations, until it is killed."""

import asyncio
import sys
from datetime import UTC, datetime

from runwright.bulk.service import BulkSteps
from runwright.db.pool import open_pool
from runwright.jobs.notifications import JobNotifications
from runwright.loops.step_runner import StepRunner
from runwright.schedules.backfills import BackfillSteps
from runwright.telemetry.emit import TelemetryEvent


def _emit(event: TelemetryEvent) -> None:
    sys.stderr.write(f"{event}\n")


async def main(dsn: str, kind: str) -> None:
    """Carry out operations until killed."""
    db = await open_pool(dsn, max_size=2)
    notifications = JobNotifications(origin="steps", send=lambda _: None)
    kinds: dict[str, type[BulkSteps | BackfillSteps]] = {"bulk": BulkSteps, "backfill": BackfillSteps}
    steps = kinds[kind](db, clock=lambda: datetime.now(UTC), notifications=notifications)
    runner = StepRunner(kind, steps.step, emit=_emit)
    await runner.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
