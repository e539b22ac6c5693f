"""Automations and their runs."""

from runwright.telemetry.emit import TimedEvent, WarningEvent


class RunsDispatched(TimedEvent, frozen=True):
    """Due runs of automations were handed to their agents."""

    logged = False
    runs: int
    jobs: int


class AutomationFileLoaded(TimedEvent, frozen=True):
    """The file of automations was applied."""

    created: int
    changed: int
    removed: int


class AutomationFileRefused(WarningEvent, frozen=True):
    """The file of automations is invalid; the previous definitions stay in force."""

    error: str
