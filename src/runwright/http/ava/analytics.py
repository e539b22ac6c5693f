"""The routes of analytics: what became of jobs that ended."""

from typing import Annotated, Final

import msgspec
from litestar import Controller, get
from litestar.params import FromPath
from msgspec import Meta

from runwright.core.errors import NotFoundError
from runwright.core.ids import is_id
from runwright.http.ava.auth import READS, AvaRequest
from runwright.http.ava.wire import Data, Time
from runwright.http.checks import Form
from runwright.http.operations import Operation
from runwright.http.services import services_of
from runwright.http.times import time_wire
from runwright.jobs.analytics import LONGEST_DAYS, DayTotals, PeriodTotals, Totals

_TAG: Final = "Analytics"


class AnalyticsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which period to report on."""

    days: Annotated[
        int, Meta(ge=1, le=LONGEST_DAYS, description="How many days (UTC), the last of them today.")
    ] = 30


class AnalyticsWire(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the tenant's jobs. A job counts on the day on which it ended."""

    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: Annotated[list[DayTotals], Meta(description="Every day of the period, the oldest first.")]
    by_worker: Annotated[dict[str, Totals], Meta(description="By worker id; those of which jobs ended.")]


class WorkerAnalyticsWire(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one worker's jobs."""

    worker_id: str
    period_days: int
    since: Time
    jobs: PeriodTotals
    by_day: list[DayTotals]


_READ: Final = Form(AnalyticsQuery)


class AnalyticsRoutes(Controller):
    """Reports on jobs that ended."""

    path = "/analytics"

    @get(
        "/",
        guards=[READS],
        opt=Operation("Report on all jobs", tag=_TAG, query=AnalyticsQuery, errors=(422,)).opt,
    )
    async def read_analytics(self, request: AvaRequest) -> Data[AnalyticsWire]:
        """Counts are exact up to this moment."""
        query = _READ.read_query(request.scope["query_string"])
        report = await services_of(request).analytics.report(request.user.tenant_id, days=query.days)
        return Data(
            AnalyticsWire(
                period_days=report.period_days,
                since=time_wire(report.since),
                jobs=report.jobs,
                by_day=report.by_day,
                by_worker=report.by_worker,
            )
        )

    @get(
        "/workers/{worker_id:str}",
        guards=[READS],
        opt=Operation(
            "Report on the jobs of a worker", tag=_TAG, query=AnalyticsQuery, errors=(404, 422)
        ).opt,
    )
    async def read_worker_analytics(
        self, request: AvaRequest, worker_id: FromPath[str]
    ) -> Data[WorkerAnalyticsWire]:
        """As for all jobs, of one worker."""
        query = _READ.read_query(request.scope["query_string"])
        if not is_id("wkr", worker_id):
            raise NotFoundError("There is no such worker.")
        report = await services_of(request).analytics.report(
            request.user.tenant_id, days=query.days, worker_id=worker_id
        )
        return Data(
            WorkerAnalyticsWire(
                worker_id=worker_id,
                period_days=report.period_days,
                since=time_wire(report.since),
                jobs=report.jobs,
                by_day=report.by_day,
            )
        )
