"""Telemetry that is kept for tests to look at."""

from typing import TypeVar

from runwright.telemetry.emit import TelemetryEvent

EventT = TypeVar("EventT", bound=TelemetryEvent)


class RecordedTelemetry:
    """An `Emit` that keeps what it takes."""

    def __init__(self) -> None:
        self.events: list[TelemetryEvent] = []

    def __call__(self, event: TelemetryEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one class, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def kinds(self) -> list[type[TelemetryEvent]]:
        """Return the class of every event, oldest first."""
        return [type(event) for event in self.events]
