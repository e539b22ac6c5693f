"""Dispatch due runs of automations to their agents; see automations/dispatch.py.

A pass holds a lock, so the concurrency of a tenant is bounded for any number of dispatchers.
"""

from typing import Final

from runwright.automations.dispatch import OpenExecution, dispatch_due
from runwright.automations.prompts import RunPrompts
from runwright.automations.settings import AutomationSettings
from runwright.automations.store.queue import has_live_runs
from runwright.automations.templates import Templates
from runwright.core.clock import Clock, Stopwatch
from runwright.db.batching import SplitDecision
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.jobs.notifications import JobNotifications
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.automations import RunsDispatched
from runwright.telemetry.events.server import ItemSetAside

BATCH: Final = 50
BUSY_PAUSE_SECONDS: Final = 0.25
IDLE_PAUSE_SECONDS: Final = 0.5


class AutomationDispatcher(DatabaseLoop):
    """Makes a pass when runs become due; also every 0.25 s while any run lives, otherwise every 0.5 s."""

    def __init__(
        self,
        db: Database,
        *,
        settings: AutomationSettings,
        templates: Templates,
        open_execution: OpenExecution,
        clock: Clock,
        notifications: JobNotifications,
        event_notifications: EventNotifications,
        emit: Emit,
    ) -> None:
        super().__init__("dispatcher", db, clock=clock, emit=emit)
        self._settings = settings
        self._prompts = RunPrompts(templates, on_ready=self.loop.wake)
        self._open_execution = open_execution
        self._split = SplitDecision()
        self._notifications = notifications
        self._event_notifications = event_notifications
        event_notifications.on_due(self.loop.wake)

    async def stop(self) -> None:
        """Stop after the current pass; prompts that are being rendered are given up."""
        await super().stop()
        await self._prompts.stop()

    async def _make_pass(self) -> float:
        if not self._settings.enabled or not await has_live_runs(self._db):
            return IDLE_PAUSE_SECONDS
        watch = Stopwatch()
        done = await dispatch_due(
            self._db,
            self._prompts,
            now=self._clock(),
            concurrency=self._settings.concurrency,
            limit=BATCH,
            open_execution=self._open_execution,
            split=self._split,
        )
        for run_id, error in done.failed:
            self._emit(ItemSetAside("dispatcher", run_id, error=error_text(error)))
        if done.jobs:
            self._notifications.jobs_ready()
        if done.runs:
            self._emit(RunsDispatched(runs=done.runs, jobs=done.jobs, duration_seconds=watch.seconds()))
            self._event_notifications.appended()
        return 0.0 if done.runs == BATCH else BUSY_PAUSE_SECONDS
