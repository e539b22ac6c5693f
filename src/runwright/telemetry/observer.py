"""The one place where named events become log lines and metrics."""

from collections.abc import Mapping
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

_QUIET: Final = frozenset(
    {
        "agent_called",
        "delivery_attempted",
        "events_routed",
        "ends_told",
        "job_attempt_ended",
        "job_handed_back",
        "runs_dispatched",
        "ticks_judged",
    }
)
"""Too many to log one by one; they are counted."""

_WARNINGS: Final = frozenset(
    {
        "attempt_not_prepared",
        "automation_file_refused",
        "build_interrupted",
        "build_lost",
        "build_not_recorded",
        "build_not_renewed",
        "definition_not_read",
        "delivery_not_settled",
        "delivery_outcome_refused",
        "delivery_set_aside",
        "agent_call_not_settled",
        "agent_call_set_aside",
        "agent_deactivated",
        "event_chain_stopped",
        "events_without_sink",
        "executor_drain_over",
        "executor_lease_lost",
        "executor_not_removed",
        "executor_records_given_up",
        "job_result_refused",
        "end_not_told",
        "jobs_rescued",
        "layer_for_other_platform",
        "lease_not_renewed",
        "loop_pass_failed",
        "record_failed",
        "version_unreadable",
        "schedule_not_fired",
        "secret_not_opened",
        "schedules_stopped",
        "ticks_missed",
        "ticks_not_fired_together",
    }
)

_LATENESS_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Observer:
    """Turns notices into structured log lines and Prometheus counters; see telemetry/events.py."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._log = structlog.get_logger("runwright")
        self._notices = Counter(
            "runwright_notices", "Named events of the logic, by name.", ["name"], registry=registry
        )
        self._attempts = Counter(
            "runwright_job_attempts_ended",
            "Attempts that ended here, by the job's status after it.",
            ["status"],
            registry=registry,
        )
        self._ticks = Counter(
            "runwright_ticks",
            "Firings that were expected, by what became of them.",
            ["status"],
            registry=registry,
        )
        self._lateness = Histogram(
            "runwright_tick_lateness_seconds",
            "How late the latest tick of a batch fired.",
            buckets=_LATENESS_SECONDS,
            registry=registry,
        )

    def __call__(self, name: str, /, **facts: str | float | None) -> None:
        """Count the event and, where a person should see it, log it."""
        self._notices.labels(name).inc()
        if name == "job_attempt_ended":
            self._attempts.labels(facts["status"]).inc()
        if name == "ticks_judged":
            self._count_ticks(facts)
        if name in _QUIET:
            return
        self._write(name, facts)

    def _count_ticks(self, facts: Mapping[str, str | float | None]) -> None:
        for status in ("fired", "skipped", "missed"):
            self._ticks.labels(status).inc(float(facts[status] or 0))
        if facts["fired"]:
            self._lateness.observe(float(facts["latest_ms"] or 0) / 1000)

    def _write(self, name: str, facts: Mapping[str, str | float | None]) -> None:
        write = self._log.warning if name in _WARNINGS else self._log.info
        write(name, **facts)
