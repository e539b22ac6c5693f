"""The server processes under one supervisor."""

from runwright.telemetry.emit import TelemetryEvent, WarningEvent


class ServerProcessStarted(TelemetryEvent, frozen=True):
    """A child of the supervisor serves."""

    process: str
    child_pid: int


class ServerProcessEnded(WarningEvent, frozen=True):
    """A child of the supervisor ended while it should serve; it is started again after the pause."""

    process: str
    status: int
    """Its exit status; negative for the signal that ended it."""
    ends_in_a_row: int
    pause_seconds: float
