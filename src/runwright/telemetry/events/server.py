"""The server as a whole, and its loops."""

from runwright.telemetry.emit import ErrorEvent, TelemetryEvent, TimedEvent, WarningEvent


class HostProbed(TimedEvent, frozen=True):
    """The capabilities of the host were determined."""

    isolation: str
    missing: str


class RuntimeVersionInstalled(TelemetryEvent, frozen=True):
    """A further version of a runtime was installed, as the settings ask for."""

    runtime: str


class RuntimeVersionMissing(WarningEvent, frozen=True):
    """A further version of a runtime could not be installed; the server starts without it."""

    runtime: str
    error: str


class ProbesListening(TelemetryEvent, frozen=True):
    """Probes and metrics are answered on a port of their own."""

    url: str


class ServerStopping(TelemetryEvent, frozen=True):
    """A signal asked the server to stop."""


class RequestFailed(ErrorEvent, frozen=True):
    """A request failed for a reason that no client can mend; it was answered with 500, or with 503."""

    request_id: str


class LoopPassFailed(WarningEvent, frozen=True):
    """A pass of a background loop raised; the loop continues."""

    loop: str
    error: str


class ItemSetAside(WarningEvent, frozen=True):
    """An item made its batch fail and is tried again later; the others of the batch were processed."""

    loop: str
    id: str
    error: str


class RowsPruned(TimedEvent, frozen=True):
    """Rows whose retention period was over were deleted."""

    kind: str
    count: int
