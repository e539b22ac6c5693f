"""The sample day of the demonstration: within the day, on the grids of schedules, and always the same."""

from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path

from runwright.core.ids import ScheduleId, WorkerId, time_of
from runwright.core.job_state import JobStatus, Trigger
from runwright.demo.history import SampleJob, SampleWorker, sample_day

NOW = datetime(2026, 3, 29, 12, 3, 7, 456_000, tzinfo=UTC)
STOCK = SampleWorker(
    worker_id=WorkerId("wkr_a"),
    schedule_id=ScheduleId("sch_a"),
    every=timedelta(minutes=10),
    runs=timedelta(seconds=20),
)
ORDERS = SampleWorker(
    worker_id=WorkerId("wkr_b"),
    every=timedelta(minutes=2),
    runs=timedelta(milliseconds=200),
    failing=0.1,
    error="declined",
)


def jobs_of(worker: SampleWorker) -> list[SampleJob]:
    return sample_day([worker], NOW)


def test_a_schedules_jobs_are_those_of_its_firings_of_the_last_day() -> None:
    jobs = jobs_of(STOCK)
    assert jobs[0].created_at == datetime(2026, 3, 28, 12, 10, tzinfo=UTC)
    assert jobs[-1].created_at == datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
    assert {b.created_at - a.created_at for a, b in pairwise(jobs)} == {STOCK.every}
    assert {(job.trigger, job.schedule_id) for job in jobs} == {(Trigger.SCHEDULED, STOCK.schedule_id)}


def test_every_job_has_ended_by_now_and_its_id_has_its_time() -> None:
    for job in jobs_of(ORDERS) + jobs_of(STOCK):
        assert NOW - timedelta(days=1) <= job.created_at < job.started_at < job.ended_at <= NOW
        assert time_of(job.id) == job.created_at
        assert (job.output is None) is (job.status is JobStatus.FAILED) is (job.error is not None)


def test_people_are_awake_at_noon_and_the_day_is_always_the_same() -> None:
    jobs = jobs_of(ORDERS)
    at = [job.created_at.hour for job in jobs]
    assert sum(hour in {10, 11, 12, 13} for hour in at) > 2 * sum(hour in {22, 23, 0, 1} for hour in at)
    assert 0 < sum(job.status is JobStatus.FAILED for job in jobs) < len(jobs) / 4
    assert len({job.id for job in jobs}) == len(jobs)
    assert jobs_of(ORDERS) == jobs


def test_the_module_of_the_demonstration_is_the_examples() -> None:
    example = Path(__file__).resolve().parents[3] / "examples/wasm-c/main.wasm"
    shown = resources.files("runwright.demo").joinpath("iban_check.wasm")
    assert shown.read_bytes() == example.read_bytes()
