"""Makes waiting jobs (scheduled, or in the backoff before a retry) ready when their time comes."""

from datetime import datetime
from typing import Final

from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.jobs.notifications import JobNotifications
from runwright.jobs.store.claim import promote_due
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit

_LOOK_SECONDS: Final = 1.0
"""The longest pause, for jobs of other processes whose notification was lost."""


class Promoter(DatabaseLoop):
    """Sleeps until the next job is due, at most a second. Any number of promoters may run."""

    def __init__(self, db: Database, *, clock: Clock, notifications: JobNotifications, emit: Emit) -> None:
        super().__init__("promoter", db, clock=clock, emit=emit)
        self._notifications = notifications
        self._next_due: datetime | None = None
        notifications.on_ready(self._on_ready)

    def _on_ready(self, run_at: datetime | None) -> None:
        if run_at is not None and (self._next_due is None or run_at < self._next_due):
            self.loop.wake()

    async def _make_pass(self) -> float:
        now = self._clock()
        moved, self._next_due = await promote_due(self._db, now=now)
        if moved:
            self._notifications.jobs_ready()
            return 0.0
        if self._next_due is None:
            return _LOOK_SECONDS
        return min(max((self._next_due - now).total_seconds(), 0.001), _LOOK_SECONDS)
