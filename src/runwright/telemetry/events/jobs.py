"""What loops do with jobs: rescues, cancels, completion callbacks."""

from runwright.telemetry.emit import TelemetryEvent, TimedEvent, WarningEvent


class RescuePostponed(WarningEvent, frozen=True):
    """The database was away, so expired leases prove nothing; executors get time to report."""

    away_seconds: float


class JobsRescued(WarningEvent, frozen=True):
    """Jobs of executors whose lease had expired were requeued, or ended where no attempt was left."""

    requeued: int
    ended: int


class JobsOfDeprecatedWorkersCancelled(TelemetryEvent, frozen=True):
    """Waiting jobs of deprecated workers were cancelled."""

    jobs: int


class CompletionsDispatched(TimedEvent, frozen=True):
    """Completion callbacks of ended jobs or executions were run."""

    logged = False
    count: int


class CompletionCallbackFailed(WarningEvent, frozen=True):
    """A completion callback raised; it is retried later."""

    kind: str
    error: str
