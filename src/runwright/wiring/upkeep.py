"""What every process does beside its roles: keep the tables in order."""

from contextlib import AsyncExitStack

from runwright.config import Settings
from runwright.engine.pruner import Pruner, Retention
from runwright.engine.reaper import Reaper
from runwright.engine.tallies import TallyFolder
from runwright.wiring.foundation import Foundation


async def start_upkeep(f: Foundation, stack: AsyncExitStack) -> None:
    reaper = Reaper(
        f.db,
        clock=f.clock,
        signals=f.signals,
        notice=f.notice,
        interval_seconds=f.settings.reaper_interval_seconds,
    )
    pruner = Pruner(f.db, retention=_retention(f.settings), clock=f.clock, notice=f.notice)
    folder = TallyFolder(f.db, clock=f.clock, notice=f.notice)
    for loop in (reaper, pruner, folder):
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
