"""The progress that running jobs report: the latest of each, written every `PROGRESS_SECONDS`."""

import asyncio
from collections.abc import Callable
from typing import Final

from runwright.core.clock import Clock
from runwright.jobs.model import ClaimedAttempt, ProgressReport
from runwright.runtimes.handler_calls import ReportedProgress

PROGRESS_SECONDS: Final = 0.5


class ProgressReports:
    """Keeps the progress of attempts until it is written."""

    def __init__(self, clock: Clock, record: Callable[[ClaimedAttempt, ProgressReport], None]) -> None:
        self._clock = clock
        self._record = record
        self._changed: list[ClaimedAttempt] = []
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, attempt: ClaimedAttempt, progress: ReportedProgress) -> None:
        """Replace the progress of an attempt, and write it soon."""
        if not attempt.progress_is_new:
            self._changed.append(attempt)
        attempt.report(progress.fraction, progress.message, self._clock())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PROGRESS_SECONDS, self._write_all)

    def write(self, attempt: ClaimedAttempt) -> None:
        """Write the progress of an attempt now, if it is new."""
        report = attempt.take_progress()
        if report is not None:
            self._record(attempt, report)

    def stop(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _write_all(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, []
        for attempt in changed:
            self.write(attempt)
