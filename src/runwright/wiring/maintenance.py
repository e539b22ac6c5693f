"""The maintenance loops of every process, whatever its roles."""

from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.loops.analytics_rollup import AnalyticsRollup
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import Reaper
from runwright.wiring.resources import Resources


async def start_maintenance(f: Resources, stack: AsyncExitStack) -> None:
    reaper = Reaper(
        f.db,
        clock=f.clock,
        notifications=f.job_notifications,
        emit=f.emit,
        interval_seconds=f.settings.reaper_interval_seconds,
    )
    pruner = Pruner(f.db, retention=_retention(f.settings), clock=f.clock, emit=f.emit)
    rollup = AnalyticsRollup(f.db, clock=f.clock, emit=f.emit)
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
