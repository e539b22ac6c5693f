"""The maintenance loops of every process, and the role `scheduler`."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from runwright.config import Settings
from runwright.db.connection import MAINTENANCE
from runwright.db.embedded.server import SHARED_SHELTER
from runwright.db.embedded.wal_archive import WalArchive
from runwright.loops.analytics_rollup import AnalyticsRollup
from runwright.loops.audit_chainer import AuditChainer
from runwright.loops.base_backups import BaseBackups
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import GRACE_SECONDS, Reaper
from runwright.loops.scheduler import Scheduler
from runwright.wiring.automations import tick_handler
from runwright.wiring.resources import Resources, open_database_pool, start_loop

MAINTENANCE_CONNECTIONS: Final = 1
_CHAINING_ROLES: Final = frozenset({"api", "scheduler"})
"""Every installation has one of these; executors, of which there are many, need not look."""


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
    if not _CHAINING_ROLES.isdisjoint(res.settings.roles):
        await start_loop(AuditChainer(res.db, clock=res.clock, emit=res.emit), stack)

    if res.settings.wal_archive is not None and res.settings.database_url is None:
        await start_loop(_base_backups(res, res.settings.wal_archive), stack)


def _base_backups(res: Resources, folder: Path) -> BaseBackups:
    return BaseBackups(
        res.db,
        res.settings.data_dir,
        WalArchive(folder.absolute()),
        shelter=SHARED_SHELTER,
        clock=res.clock,
        emit=res.emit,
    )


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
