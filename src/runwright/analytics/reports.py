"""Reports on the jobs of a tenant that ended within some days, from the analytics rollup.

EndedCounts and sums are exact at any moment; percentiles come from a histogram and are at most 1.6 %
off. A job counts on the day (UTC) on which it ended. Durations are of completed and failed jobs.
"""

import datetime as dt
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from runwright.analytics.queues import QueueSnapshot
from runwright.analytics.rollup import EndedCounts, JobSums, fetch_counts
from runwright.analytics.worker_totals import WorkerCounts, WorkerOrder, fetch_worker_totals
from runwright.core.clock import Clock
from runwright.core.errors import NotFoundError
from runwright.core.histogram import middle_of, percentile
from runwright.core.job_state import TERMINAL, JobStatus, Trigger
from runwright.db.pool import Database
from runwright.workers.store import fetch_worker

LONGEST_DAYS: Final = 90
_NONE: Final = JobSums(0, 0, 0)

K = TypeVar("K")


DurationMs = Annotated[int | None, Meta(description="Of completed and failed jobs; null where none ran.")]
Percentile = Annotated[int | None, Meta(description="At most 1.6 % off; null where none ran.")]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that ended, by status."""

    total: int
    completed: int
    failed: int
    cancelled: int
    success_rate: Annotated[
        float | None,
        Meta(description="Percent of all ended jobs that completed, one decimal; null where none ended."),
    ]
    avg_duration_ms: DurationMs


class DayTotals(Totals, frozen=True, kw_only=True):
    """Jobs that ended on one day (UTC)."""

    date: dt.date


class PeriodTotals(Totals, frozen=True, kw_only=True):
    """Jobs that ended in the period."""

    p50_duration_ms: Percentile
    p95_duration_ms: Percentile
    p99_duration_ms: Percentile
    by_trigger: dict[Trigger, int]
    failures_by_code: Annotated[dict[str, int], Meta(description="Failed jobs by `error.code`.")]


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that ended in a period."""

    period_days: int
    since: datetime
    jobs: PeriodTotals
    by_day: list[DayTotals]
    """Every day of the period, oldest first."""
    by_worker: dict[str, Totals]
    """Only workers with jobs that ended."""


class WorkerTotals(Totals, frozen=True, kw_only=True):
    """How the jobs of one worker ended, and how many are live."""

    worker_id: str
    worker_name: str
    max_concurrency: int | None
    p50_duration_ms: Percentile
    p95_duration_ms: Percentile
    p99_duration_ms: Percentile
    queued: int
    running: int
    oldest_due_at: datetime | None
    """Since when its oldest queued job has been due."""


class WorkersReport(msgspec.Struct, frozen=True, kw_only=True):
    """The workers with jobs that ended in a period or are live."""

    period_days: int
    since: datetime
    workers: list[WorkerTotals]
    total: int
    """How many there are; `workers` may be the first of them."""
    sampled_at: datetime


class Analytics:
    """Reports on jobs that ended."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def report(self, tenant_id: str, *, days: int, worker_id: str | None = None) -> JobReport:
        """Return the report of the last `days` days, today among them, of the tenant or one worker.

        Raises NotFoundError where the tenant has no such worker.
        """
        if worker_id is not None:
            worker = await fetch_worker(self._db, tenant_id=tenant_id, worker_id=worker_id)
            if worker is None:
                raise NotFoundError(f"There is no worker {worker_id}.")
        first = self._first_day(days)
        counts = await fetch_counts(self._db, tenant_id=tenant_id, since=first, worker_id=worker_id)
        return _report(counts, first, days)

    async def by_worker(
        self, tenant_id: str, live: QueueSnapshot, *, days: int, order: WorkerOrder, limit: int
    ) -> WorkersReport:
        """Return the first workers in an order, with their jobs of the last `days` days and the live ones."""
        first = self._first_day(days)
        found, total = await fetch_worker_totals(
            self._db, live, tenant_id=tenant_id, since=first, order=order, limit=limit
        )
        return WorkersReport(
            period_days=days,
            since=_midnight(first),
            workers=[_worker_totals(one) for one in found],
            total=total,
            sampled_at=live.sampled_at,
        )

    def _first_day(self, days: int) -> date:
        return self._clock().astimezone(UTC).date() - timedelta(days=days - 1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _worker_totals(one: WorkerCounts) -> WorkerTotals:
    return WorkerTotals(
        worker_id=one.worker_id,
        worker_name=one.worker_name,
        max_concurrency=one.max_concurrency,
        total=one.total,
        completed=one.completed,
        failed=one.failed,
        cancelled=one.cancelled,
        success_rate=round(100 * one.completed / one.total, 1) if one.total else None,
        avg_duration_ms=round(one.duration_ms / one.timed) if one.timed else None,
        p50_duration_ms=_duration_of(one.p50),
        p95_duration_ms=_duration_of(one.p95),
        p99_duration_ms=_duration_of(one.p99),
        queued=one.queued,
        running=one.running,
        oldest_due_at=one.oldest_due_at,
    )


def _duration_of(bucket: int | None) -> int | None:
    return None if bucket is None else middle_of(bucket)


def _report(counts: EndedCounts, first: date, days: int) -> JobReport:
    every_day = [first + timedelta(days=n) for n in range(days)]
    return JobReport(
        period_days=days,
        since=_midnight(first),
        jobs=PeriodTotals(
            **_totals(counts.by_status),
            p50_duration_ms=percentile(counts.durations, 50),
            p95_duration_ms=percentile(counts.durations, 95),
            p99_duration_ms=percentile(counts.durations, 99),
            by_trigger={trigger: counts.by_trigger.get(trigger, _NONE).jobs for trigger in Trigger},
            failures_by_code={code: sums.jobs for code, sums in sorted(counts.by_code.items()) if code},
        ),
        by_day=[DayTotals(date=day, **_totals(_of(counts.by_day, day))) for day in every_day],
        by_worker={
            worker: Totals(**_totals(_of(counts.by_worker, worker)))
            for worker in sorted({worker for worker, _ in counts.by_worker})
        },
    )


def _of(cut: Mapping[tuple[K, str], JobSums], key: K) -> dict[str, JobSums]:
    return {status: cut.get((key, status), _NONE) for status in TERMINAL}


def _totals(by_status: Mapping[str, JobSums]) -> dict[str, Any]:
    total = sum(sums.jobs for sums in by_status.values())
    completed = by_status.get(JobStatus.COMPLETED, _NONE).jobs
    timed = sum(sums.timed for sums in by_status.values())
    duration_ms = sum(sums.duration_ms for sums in by_status.values())
    return {
        "total": total,
        "completed": completed,
        "failed": by_status.get(JobStatus.FAILED, _NONE).jobs,
        "cancelled": by_status.get(JobStatus.CANCELLED, _NONE).jobs,
        "success_rate": round(100 * completed / total, 1) if total else None,
        "avg_duration_ms": round(duration_ms / timed) if timed else None,
    }
