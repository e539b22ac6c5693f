"""The maintenance loops of every process, and the role `scheduler`."""

from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.loops.analytics_rollup import AnalyticsRollup
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import Reaper
from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import tick_handler
from runwright.wiring.resources import Resources, start_loop


async def start_maintenance(res: Resources, stack: AsyncExitStack) -> None:
    reaper = Reaper(
        res.db,
        clock=res.clock,
        notifications=res.job_notifications,
        emit=res.emit,
        interval_seconds=res.settings.reaper_interval_seconds,
    )
    pruner = Pruner(res.db, retention=_retention(res.settings), clock=res.clock, emit=res.emit)
    rollup = AnalyticsRollup(res.db, clock=res.clock, emit=res.emit)
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
        handler=tick_handler(res.policy),
    )
    await start_loop(scheduler, stack)
