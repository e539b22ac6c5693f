"""The schemas of analytics: reports on jobs that ended."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.analytics.reports import LONGEST_DAYS, DayTotals, PeriodTotals, Totals
from runwright.http.ava.envelopes import Time
from runwright.http.validation import Validator


class AnalyticsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The period to report on."""

    days: Annotated[
        int, Meta(ge=1, le=LONGEST_DAYS, description="The number of days (UTC), up to and including today.")
    ] = 30


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


READ_ANALYTICS: Final = Validator(AnalyticsQuery)
