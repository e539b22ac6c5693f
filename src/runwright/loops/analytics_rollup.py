"""Folds the counts of single jobs into sums by day, so that reports read few rows."""

from datetime import UTC, timedelta
from typing import Final

from runwright.analytics.rollup import fold_counts, prune_counts
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit

PAUSE_SECONDS: Final = 5.0
KEPT: Final = timedelta(days=100)
"""How long sums are kept: longer than the longest period of a report."""

_BATCH: Final = 5000
_PASSES_PER_PRUNING: Final = 720


class AnalyticsRollup(DatabaseLoop):
    """Folds every few seconds, and prunes about once an hour. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, emit: Emit) -> None:
        super().__init__("analytics-rollup", db, clock=clock, emit=emit)
        self._passes = 0

    async def _make_pass(self) -> float:
        full = await fold_counts(self._db, limit=_BATCH) == _BATCH
        self._passes += 1
        if self._passes % _PASSES_PER_PRUNING == 1:
            before = self._clock().astimezone(UTC).date() - KEPT
            while await prune_counts(self._db, before=before, limit=_BATCH):
                pass
        return 0.0 if full else PAUSE_SECONDS
