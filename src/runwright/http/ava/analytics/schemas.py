"""The schemas of analytics: reports on jobs that ended."""

from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from runwright.analytics.reports import LONGEST_DAYS, DayTotals, Percentile, PeriodTotals, Totals
from runwright.analytics.worker_totals import WorkerOrder
from runwright.http.ava.envelopes import Time
from runwright.http.validation import Validator

MOST_WORKERS: Final = 1_000


class AnalyticsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The period to report on."""

    days: Annotated[
        int, Meta(ge=1, le=LONGEST_DAYS, description="The number of days (UTC), up to and including today.")
    ] = 30


class WorkersQuery(AnalyticsQuery, frozen=True, kw_only=True):
    """The period to report on, and which workers come first."""

    sort: Annotated[WorkerOrder, Meta(description="The workers with the largest come first.")] = (
        WorkerOrder.TOTAL
    )
    limit: Annotated[int, Meta(ge=1, le=MOST_WORKERS, description="The most workers to return.")] = 100


class AnalyticsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How the tenant's jobs ended. A job counts on the day on which it ended."""

    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: Annotated[list[DayTotals], Meta(description="Every day of the period, the oldest first.")]
    by_worker: Annotated[
        dict[str, Totals], Meta(description="By worker id; only workers with jobs that ended in the period.")
    ]


class WorkerAnalyticsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker's jobs ended."""

    worker_id: str
    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: list[DayTotals]


class WorkerTotalsOut(Totals, frozen=True, kw_only=True):
    """How the jobs of one worker ended, and how many are live."""

    worker_id: str
    worker_name: str
    max_concurrency: Annotated[int | None, Meta(description="How many of its jobs may run at once.")]
    p50_duration_ms: Percentile
    p95_duration_ms: Percentile
    p99_duration_ms: Percentile
    queued: int
    running: int
    oldest_due_at: Annotated[
        Time | None, Meta(description="Since when its oldest queued job has been due; null: none is.")
    ]


class AnalyticsByWorkerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The workers with jobs that ended in the period, or are queued or running."""

    openapi_name: ClassVar[str] = "WorkersAnalytics"

    period_days: int
    since: Time
    workers: list[WorkerTotalsOut]
    total: Annotated[int, Meta(description="How many such workers there are.")]
    sampled_at: Annotated[Time, Meta(description="When queued and running jobs were counted.")]


READ_ANALYTICS: Final = Validator(AnalyticsQuery)
READ_WORKERS: Final = Validator(WorkersQuery)
