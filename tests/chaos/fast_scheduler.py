"""`python -m tests.chaos.fast_scheduler DSN BEGIN`: a real scheduler whose minutes last a second.

It says `ready` when it runs, and then fires until it is killed.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Final

from runwright.db.errors import unavailable
from runwright.db.pool import Pool, open_pool
from runwright.jobs.notifications import JobNotifications
from runwright.loops.scheduler import Scheduler
from runwright.telemetry.emit import TelemetryEvent

SPEED: Final = 60


def fast_clock(begin: datetime, now: datetime | None = None) -> datetime:
    """Return the time that it is where a minute lasts a second, since `begin` by the ordinary clock."""
    at = begin + ((now or datetime.now(UTC)) - begin) * SPEED
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _emit(event: TelemetryEvent) -> None:
    sys.stderr.write(f"{event}\n")


async def _open_pool(dsn: str) -> Pool:
    """Return a pool, however often its first connection is cut: what supervises a server starts it again."""
    while True:
        try:
            return await open_pool(dsn, max_size=4, by_key=True)
        except Exception as error:
            if not unavailable(error):
                raise


async def main(dsn: str, begin: datetime) -> None:
    """Fire until killed."""
    db = await _open_pool(dsn)
    notifications = JobNotifications(origin="fast", send=lambda _: None)
    scheduler = Scheduler(
        db, clock=lambda: fast_clock(begin), notifications=notifications, emit=_emit, batch=40
    )
    await scheduler.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
