"""The routes and schemas of analytics: reports on jobs that ended."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runwright.analytics.reports import LONGEST_DAYS, DayTotals, PeriodTotals, Totals
from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data, Time
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.routing import Routes
from runwright.http.validation import Validator


class AnalyticsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which period to report on."""

    days: Annotated[
        int, Meta(ge=1, le=LONGEST_DAYS, description="How many days (UTC), the last of them today.")
    ] = 30


class AnalyticsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How the tenant's jobs ended. A job counts on the day on which it ended."""

    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: Annotated[list[DayTotals], Meta(description="Every day of the period, the oldest first.")]
    by_worker: Annotated[dict[str, Totals], Meta(description="By worker id; those of which jobs ended.")]


class WorkerAnalyticsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker's jobs ended."""

    worker_id: str
    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: list[DayTotals]


READ_ANALYTICS: Final = Validator(AnalyticsQuery)


ROUTES: Final = Routes(AVA, "/v1/ava/analytics", tag="Analytics")


@ROUTES.add("GET", "", READS, "Report on all jobs", query=AnalyticsQuery, errors=(422,))
async def read_analytics(request: Request) -> Data[AnalyticsOut]:
    """Counts are exact up to this moment."""
    days = request.query(READ_ANALYTICS).days
    return Data(to_out(AnalyticsOut, await request.services.analytics.report(request.tenant_id, days=days)))


@ROUTES.add(
    "GET",
    "/workers/{worker_id}",
    READS,
    "Report on the jobs of a worker",
    query=AnalyticsQuery,
    errors=(404, 422),
)
async def read_worker_analytics(request: Request) -> Data[WorkerAnalyticsOut]:
    """As for all jobs, of one worker."""
    days, worker_id = request.query(READ_ANALYTICS).days, worker_id_of(request)
    report = await request.services.analytics.report(request.tenant_id, days=days, worker_id=worker_id)
    return Data(to_out(WorkerAnalyticsOut, report, worker_id=worker_id))
