"""The report of `/v1/system`, made from the database, the host and the file systems."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

import msgspec

from runwright import __version__
from runwright.analytics.queues import Queues
from runwright.config import Settings
from runwright.db.pool import Database
from runwright.http.system_report import DatabaseReport, DiskReport, IsolationReport, SystemReport
from runwright.leases.store import list_executors
from runwright.runtimes.host import Host
from runwright.wiring.executor import cache_dir
from runwright.wiring.storage import read_storage

_DATABASE: Final = """
SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS size_bytes,
       (SELECT max(version) FROM schema_migrations) AS schema_version
"""


class SystemReporter(msgspec.Struct, frozen=True):
    """Reports the state of the server."""

    db: Database
    settings: Settings
    host: Host
    queues: Queues

    async def report(self) -> SystemReport:
        """Return the report of this moment."""
        return SystemReport(
            version=__version__,
            roles=self.settings.roles,
            isolation=IsolationReport(
                level=self.host.isolation.wire_name,
                floor=self.settings.isolation_floor,
                reached=self.host.reached,
                missing=self.host.missing,
            ),
            runtimes=list(self.host.runtimes.values()),
            executors=await list_executors(self.db),
            queue=await self.queues.totals(),
            database=await self._database(),
            storage=await read_storage(self.db),
            disks=await asyncio.to_thread(_disks, self.settings),
        )

    async def _database(self) -> DatabaseReport:
        row = await self.db.fetchrow(_DATABASE)
        return DatabaseReport(**dict(row or {}), embedded=self.settings.database_url is None)


def _disks(settings: Settings) -> list[DiskReport]:
    folders = {"data_dir": settings.data_dir, "cache_dir": cache_dir(settings)}
    return [_disk(name, path) for name, path in folders.items() if path.exists()]


def _disk(name: str, path: Path) -> DiskReport:
    usage = shutil.disk_usage(path)
    return DiskReport(folder=name, path=str(path), total_bytes=usage.total, free_bytes=usage.free)
