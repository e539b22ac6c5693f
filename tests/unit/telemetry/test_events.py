"""Telemetry events become log lines and metrics, each of a class in its way."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from runwright.core.job_state import JobStatus
from runwright.telemetry import events
from runwright.telemetry.emit import Emit, ErrorEvent, TelemetryEvent, TimedEvent, WarningEvent
from runwright.telemetry.events.builds import BuildEvent
from runwright.telemetry.events.executor import JobAttemptEnded, JobHandedBack
from runwright.telemetry.events.jobs import JobsRescued
from runwright.telemetry.events.outbox import DeliveryAttempted
from runwright.telemetry.events.schedules import TicksProcessed
from runwright.telemetry.events.server import RequestFailed, RowsPruned
from runwright.telemetry.prometheus import MetricRegistry
from runwright.telemetry.sinks import open_telemetry


@pytest.fixture
def registry() -> MetricRegistry:
    return MetricRegistry()


@pytest.fixture
def emit(registry: MetricRegistry) -> Emit:
    return open_telemetry(registry)


def catalogue() -> list[type[TelemetryEvent]]:
    modules = [import_module(f"{events.__name__}.{found.name}") for found in iter_modules(events.__path__)]
    classes = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    bases = {TelemetryEvent, TimedEvent, WarningEvent, ErrorEvent, BuildEvent}
    return [one for one in classes if issubclass(one, TelemetryEvent) and one not in bases]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [{"level": record.levelname, **vars(record)["payload"]} for record in caplog.records]


def test_a_log_line_has_the_name_the_level_and_the_payload(
    emit: Emit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    emit(RowsPruned(0.25, kind="jobs", count=7))
    emit(JobsRescued(requeued=2, ended=1))
    emit(RequestFailed("KeyError: 'x'", "Traceback", request_id="req_1"))
    assert logged(caplog) == [
        {"event": "rows_pruned", "level": "INFO", "duration_seconds": 0.25, "kind": "jobs", "count": 7},
        {"event": "jobs_rescued", "level": "WARNING", "requeued": 2, "ended": 1},
        {
            "event": "request_failed",
            "level": "ERROR",
            "error": "KeyError: 'x'",
            "exception": "Traceback",
            "request_id": "req_1",
        },
    ]


def test_a_frequent_event_is_counted_and_not_logged(
    emit: Emit, registry: MetricRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    emit(JobHandedBack(job_id="job_1"))
    emit(JobHandedBack(job_id="job_2"))
    assert logged(caplog) == []
    assert registry.value("runwright_telemetry_events_total", name="job_handed_back") == 2


def test_attempts_are_counted_by_status_and_measured_where_they_began(
    emit: Emit, registry: MetricRegistry
) -> None:
    emit(JobAttemptEnded(2.0, status=JobStatus.COMPLETED))
    emit(JobAttemptEnded(None, status=JobStatus.CANCELLED))
    for status in ("completed", "cancelled"):
        assert registry.value("runwright_job_attempts_ended_total", status=status) == 1
    name = "job_attempt_ended"
    assert registry.value("runwright_telemetry_duration_seconds_count", name=name) == 1
    assert registry.value("runwright_telemetry_duration_seconds_sum", name=name) == 2.0


def test_ticks_are_counted_by_status_and_only_fired_ones_have_a_lateness(
    emit: Emit, registry: MetricRegistry
) -> None:
    emit(TicksProcessed(0.1, schedules=3, fired=2, skipped=1, missed=4, lateness_seconds=0.5))
    emit(TicksProcessed(0.1, schedules=1, fired=0, skipped=0, missed=1, lateness_seconds=9.0))
    counts = [
        registry.value("runwright_ticks_total", status=status) for status in ("fired", "skipped", "missed")
    ]
    assert counts == [2, 1, 5]
    assert registry.value("runwright_tick_lateness_seconds_sum") == 0.5


def test_what_took_time_is_measured_by_name(emit: Emit, registry: MetricRegistry) -> None:
    emit(DeliveryAttempted(0.3, result="delivered"))
    name = "delivery_attempted"
    assert registry.value("runwright_telemetry_duration_seconds_sum", name=name) == 0.3


def test_names_are_unique_and_no_warning_goes_unlogged() -> None:
    names = [one.name() for one in catalogue()]
    assert len(names) == len(set(names)) > 40
    assert [one.name() for one in catalogue() if one.level != "info" and not one.logged] == []


def test_the_names_of_events_stay_as_they_are() -> None:
    """Alerts and searches go by them: add a new name to the file, and take none out of it."""
    names = {one.name() for one in catalogue()}
    assert sorted(names) == Path(__file__).with_name("event_names.txt").read_text().split()
