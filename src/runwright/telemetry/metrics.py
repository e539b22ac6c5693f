"""Prometheus metrics that are made from telemetry events."""

from typing import Final

from runwright.telemetry.emit import TelemetryEvent, TimedEvent
from runwright.telemetry.events.executor import JobAttemptEnded
from runwright.telemetry.events.schedules import TicksProcessed
from runwright.telemetry.prometheus import MetricRegistry

_DURATION_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1800.0)
_LATENESS_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class EventMetrics:
    """Counts every event by name, and keeps the particular metrics of some."""

    def __init__(self, registry: MetricRegistry) -> None:
        self._counts = registry.counter(
            "runwright_telemetry_events_total", "Telemetry events, by name.", ["name"]
        )
        self._durations = registry.histogram(
            "runwright_telemetry_duration_seconds",
            "How long the work that an event reports took, by the name of the event.",
            _DURATION_SECONDS,
            ["name"],
        )
        self._attempts = registry.counter(
            "runwright_job_attempts_ended_total",
            "Attempts that ended in this process, by the status of the job afterwards.",
            ["status"],
        )
        self._wait = registry.histogram(
            "runwright_job_wait_seconds",
            "How long attempts had been due when their code began.",
            _DURATION_SECONDS,
        )
        self._run = registry.histogram(
            "runwright_job_run_seconds", "How long the code of attempts ran.", _DURATION_SECONDS
        )
        self._ticks = registry.counter(
            "runwright_ticks_total", "Due ticks of schedules, by what became of them.", ["status"]
        )
        self._lateness = registry.histogram(
            "runwright_tick_lateness_seconds",
            "How late the latest tick of a batch fired.",
            _LATENESS_SECONDS,
        )

    def __call__(self, event: TelemetryEvent) -> None:
        """Count one event."""
        name = event.__struct_config__.tag
        self._counts.inc(name)
        if isinstance(event, TimedEvent) and event.duration_seconds is not None:
            self._durations.observe(event.duration_seconds, name)
        if isinstance(event, JobAttemptEnded):
            self._count_attempt(event)
        elif isinstance(event, TicksProcessed):
            self._count_ticks(event)

    def _count_attempt(self, event: JobAttemptEnded) -> None:
        self._attempts.inc(event.status)
        if event.wait_seconds is not None:
            self._wait.observe(event.wait_seconds)
        if event.duration_seconds is not None:
            self._run.observe(event.duration_seconds)

    def _count_ticks(self, event: TicksProcessed) -> None:
        self._ticks.inc("fired", by=event.fired)
        self._ticks.inc("skipped", by=event.skipped)
        self._ticks.inc("missed", by=event.missed)
        if event.fired:
            self._lateness.observe(event.lateness_seconds)
