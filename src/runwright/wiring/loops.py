"""The maintenance loops of every process, and the role `scheduler`."""

from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.loops.analytics_rollup import AnalyticsRollup
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import Reaper
from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import tick_handler
from runwright.wiring.resources import Resources


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
        stack.push_async_callback(loop.stop)
        await loop.start()


def _retention(settings: Settings) -> Retention:
    return Retention(
        jobs_days=settings.retention_jobs_days,
        logs_days=settings.retention_logs_days,
        runs_days=settings.retention_runs_days,
        ticks_days=settings.retention_ticks_days,
        events_days=settings.retention_events_days,
        audit_days=settings.retention_audit_days,
    )


async def start_scheduler(res: Resources, stack: AsyncExitStack) -> None:
    scheduler = Scheduler(
        res.db,
        clock=res.clock,
        notifications=res.job_notifications,
        emit=res.emit,
        handler=tick_handler(res.policy),
    )
    stack.push_async_callback(scheduler.stop)
    await scheduler.start()
