"""Copies the embedded database into its archive once a week, and reports a log that is not archived."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from runwright.core.clock import Clock, Stopwatch
from runwright.db.embedded.account import postgres_account
from runwright.db.embedded.layout import Layout
from runwright.db.embedded.wal_archive import WalArchive, take_base
from runwright.db.pool import Database
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.database import BaseBackupTaken, WalNotArchived

EVERY: Final = timedelta(days=7)
PAUSE_SECONDS: Final = 60.0

_STATE: Final = """
SELECT current_setting('archive_mode') = 'on' AS active, last_failed_wal,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing
FROM pg_stat_archiver
"""


class BaseBackups(DatabaseLoop):
    """Any number of processes may run it; one copies."""

    def __init__(
        self, db: Database, data_dir: Path, archive: WalArchive, *, shelter: Path, clock: Clock, emit: Emit
    ) -> None:
        super().__init__("base-backups", db, clock=clock, emit=emit)
        self._data_dir = data_dir
        self._archive = archive
        self._shelter = shelter

    async def _make_pass(self) -> float:
        state = await self._db.fetchrow(_STATE)
        if state is None or not state["active"]:
            self._emit(WalNotArchived(reason="the database was started before: stop all that uses it once"))
        elif state["failing"]:
            self._emit(WalNotArchived(reason=f"{state['last_failed_wal']} could not be written"))
        else:
            await self._copy()
        return PAUSE_SECONDS

    async def _copy(self) -> None:
        bases = await asyncio.to_thread(self._archive.bases)
        if bases and bases[-1].at > self._clock() - EVERY:
            return
        layout = Layout(self._data_dir, await asyncio.to_thread(postgres_account))
        watch = Stopwatch()
        made = await asyncio.to_thread(take_base, layout, self._archive, self._shelter)
        if made is not None:
            removed = await asyncio.to_thread(self._archive.prune)
            self._emit(BaseBackupTaken(watch.seconds(), base=made.folder.name, segments_removed=removed))
