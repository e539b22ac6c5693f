"""Folds the tallies of ended jobs into sums, so that reports read few rows."""

from datetime import UTC, timedelta
from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.jobs.store.rollup import fold_tallies, forget_counts
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit

PAUSE_SECONDS: Final = 5.0
KEPT: Final = timedelta(days=100)
"""Longer than the longest period of a report."""

_BATCH: Final = 5000
_PASSES_PER_LOOK: Final = 720


class AnalyticsRollup:
    """Folds every few seconds; about once an hour forgets sums that no report reaches. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, emit: Emit) -> None:
        self._db = db
        self._clock = clock
        self._passes = 0
        self.loop = PassLoop("tally-folder", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Begin to fold."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop folding."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        if self._passes % _PASSES_PER_LOOK == 0:
            before = self._clock().astimezone(UTC).date() - KEPT
            while await forget_counts(self._db, before=before, limit=_BATCH):
                pass
        self._passes += 1
        return 0.0 if await fold_tallies(self._db, limit=_BATCH) == _BATCH else PAUSE_SECONDS
