"""Where the telemetry events of a process go."""

from runwright.telemetry.emit import Emit, TelemetryEvent
from runwright.telemetry.logs import EventLog
from runwright.telemetry.metrics import EventMetrics
from runwright.telemetry.prometheus import MetricRegistry


def open_telemetry(registry: MetricRegistry) -> Emit:
    """Return what takes the events of this process; another destination (traces) is one more sink."""
    sinks = (EventMetrics(registry), EventLog())

    def emit(event: TelemetryEvent) -> None:
        for sink in sinks:
            sink(event)

    return emit
