"""The maintenance loops of every process, and the role `scheduler`."""

from contextlib import AsyncExitStack
from typing import Final

from runwright.config import Settings
from runwright.db.connection import MAINTENANCE
from runwright.loops.analytics_rollup import AnalyticsRollup
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import GRACE_SECONDS, Reaper
from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import tick_handler
from runwright.wiring.resources import Resources, open_database_pool, start_loop

MAINTENANCE_CONNECTIONS: Final = 1


async def start_maintenance(res: Resources, stack: AsyncExitStack) -> None:
    reaper = Reaper(
        res.db,
        clock=res.clock,
        notifications=res.job_notifications,
        emit=res.emit,
        interval_seconds=res.settings.reaper_interval_seconds,
        grace_seconds=min(res.settings.lease_seconds, GRACE_SECONDS),
    )
    db = await open_database_pool(res, MAINTENANCE, MAINTENANCE_CONNECTIONS, stack, lazy=True)
    pruner = Pruner(db, retention=_retention(res.settings), clock=res.clock, emit=res.emit)
    rollup = AnalyticsRollup(db, clock=res.clock, emit=res.emit)
    for loop in (reaper, pruner, rollup):
        await start_loop(loop, stack)


def _retention(settings: Settings) -> Retention:
    return Retention(**{name: getattr(settings, f"retention_{name}") for name in Retention.__struct_fields__})


async def start_scheduler(res: Resources, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(
        res.db,
        clock=res.clock,
        notifications=res.job_notifications,
        emit=res.emit,
        handler=tick_handler(res.automation_settings),
    )
    await start_loop(scheduler, stack)
