"""Queues, analytics and runtimes."""

import datetime as dt

import msgspec

from runwright.client.models.base import Info


class QueueInfo(Info, frozen=True, kw_only=True):
    """Live jobs of a worker."""

    worker_id: str
    queued: int
    running: int
    high_priority: int


class QueueListInfo(Info, frozen=True, kw_only=True):
    """Live jobs of the tenant, by worker."""

    total_queued: int
    total_running: int
    by_worker: list[QueueInfo]
    sampled_at: dt.datetime


class TotalsInfo(Info, frozen=True, kw_only=True):
    """Jobs that ended, by status."""

    total: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None = None
    avg_duration_ms: float | None = None


class DayInfo(TotalsInfo, frozen=True, kw_only=True):
    """Jobs that ended on one day (UTC)."""

    date: dt.date


class PeriodInfo(TotalsInfo, frozen=True, kw_only=True):
    """Jobs that ended in a period."""

    p50_duration_ms: float | None = None
    p95_duration_ms: float | None = None
    p99_duration_ms: float | None = None
    by_trigger: dict[str, int] = msgspec.field(default_factory=dict)
    failures_by_code: dict[str, int] = msgspec.field(default_factory=dict)


class AnalyticsInfo(Info, frozen=True, kw_only=True):
    """How jobs ended; `by_worker` is empty in the report of one worker."""

    period_days: int
    since: dt.datetime
    jobs: PeriodInfo
    by_day: list[DayInfo]
    by_worker: dict[str, TotalsInfo] = msgspec.field(default_factory=dict)
    worker_id: str | None = None


class WorkerTotalsInfo(TotalsInfo, frozen=True, kw_only=True):
    """How the jobs of one worker ended, and how many are live."""

    worker_id: str
    worker_name: str
    max_concurrency: int | None = None
    p50_duration_ms: float | None = None
    p95_duration_ms: float | None = None
    p99_duration_ms: float | None = None
    queued: int
    running: int
    oldest_due_at: dt.datetime | None = None


class AnalyticsByWorkerInfo(Info, frozen=True, kw_only=True):
    """The workers with jobs that ended in a period, or are queued or running."""

    period_days: int
    since: dt.datetime
    workers: list[WorkerTotalsInfo]
    total: int
    """How many such workers there are; `workers` may be the first of them."""
    sampled_at: dt.datetime


class RuntimeEntry(Info, frozen=True, kw_only=True):
    """A runtime of the server."""

    name: str
    ready: bool
    version: str | None = None
    path: str | None = None
    isolation: str | None = None
    reason: str | None = None
