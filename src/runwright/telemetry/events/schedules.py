"""Schedules and their ticks."""

from runwright.telemetry.emit import TelemetryEvent, TimedEvent, WarningEvent


class TicksProcessed(TimedEvent, frozen=True):
    """A batch of due ticks was fired, skipped or marked as missed."""

    logged = False
    schedules: int
    fired: int
    skipped: int
    missed: int
    lateness_seconds: float
    """How late the latest tick of the batch was."""


class TicksMissed(WarningEvent, frozen=True):
    """Ticks were too late to be fired."""

    ticks: int


class TickBatchFailed(WarningEvent, frozen=True):
    """A batch of ticks could not be fired together; they are fired one by one."""

    error: str


class ScheduleNotFired(WarningEvent, frozen=True):
    """A schedule could not be fired; it is tried again."""

    schedule_id: str
    error: str


class SchedulesStopped(WarningEvent, frozen=True):
    """Schedules were stopped because they can never fire again."""

    schedules: int


class SchedulesMovedToNewerZoneRules(TelemetryEvent, frozen=True):
    """The next ticks of schedules were recomputed with newer time zone rules."""

    schedules: int
