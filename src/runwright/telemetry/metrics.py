"""Prometheus metrics that are made from telemetry events."""

from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from runwright.telemetry.emit import TelemetryEvent, TimedEvent
from runwright.telemetry.events.executor import JobAttemptEnded
from runwright.telemetry.events.schedules import TicksProcessed

_DURATION_SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1800.0)
_LATENESS_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class EventMetrics:
    """Counts every event by name, and keeps the particular metrics of some."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counts = Counter(
            "runwright_telemetry_events", "Telemetry events, by name.", ["name"], registry=registry
        )
        durations = Histogram(
            "runwright_telemetry_duration_seconds",
            "How long the work that an event reports took, by the name of the event.",
            ["name"],
            buckets=_DURATION_SECONDS,
            registry=registry,
        )
        attempts = Counter(
            "runwright_job_attempts_ended",
            "Attempts that ended in this process, by the status of the job afterwards.",
            ["status"],
            registry=registry,
        )
        self._wait = Histogram(
            "runwright_job_wait_seconds",
            "How long attempts had been due when their code began.",
            buckets=_DURATION_SECONDS,
            registry=registry,
        )
        self._run = Histogram(
            "runwright_job_run_seconds",
            "How long the code of attempts ran.",
            buckets=_DURATION_SECONDS,
            registry=registry,
        )
        self._ticks = Counter(
            "runwright_ticks",
            "Due ticks of schedules, by what became of them.",
            ["status"],
            registry=registry,
        )
        self._lateness = Histogram(
            "runwright_tick_lateness_seconds",
            "How late the latest tick of a batch fired.",
            buckets=_LATENESS_SECONDS,
            registry=registry,
        )

        # Looking up a label costs more than counting, and attempts are on the hot path.
        self._counter = cache(lambda kind: counts.labels(kind.name()))
        self._histogram = cache(lambda kind: durations.labels(kind.name()))
        self._attempt_counter = cache(lambda status: attempts.labels(status.value))

    def __call__(self, event: TelemetryEvent) -> None:
        """Count one event."""
        self._counter(type(event)).inc()
        if isinstance(event, TimedEvent) and event.duration_seconds is not None:
            self._histogram(type(event)).observe(event.duration_seconds)
        if isinstance(event, JobAttemptEnded):
            self._count_attempt(event)
        elif isinstance(event, TicksProcessed):
            self._count_ticks(event)

    def _count_attempt(self, event: JobAttemptEnded) -> None:
        self._attempt_counter(event.status).inc()
        if event.wait_seconds is not None:
            self._wait.observe(event.wait_seconds)
        if event.duration_seconds is not None:
            self._run.observe(event.duration_seconds)

    def _count_ticks(self, event: TicksProcessed) -> None:
        self._ticks.labels("fired").inc(event.fired)
        self._ticks.labels("skipped").inc(event.skipped)
        self._ticks.labels("missed").inc(event.missed)
        if event.fired:
            self._lateness.observe(event.lateness_seconds)
