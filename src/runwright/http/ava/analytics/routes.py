"""The routes of analytics: reports on jobs that ended."""

from typing import Final

from runwright.http.ava.analytics.schemas import (
    READ_ANALYTICS,
    READ_WORKERS,
    AnalyticsByWorkerOut,
    AnalyticsOut,
    AnalyticsQuery,
    WorkerAnalyticsOut,
    WorkersQuery,
    WorkerTotalsOut,
)
from runwright.http.ava.authorization import READS
from runwright.http.ava.dialect import AVA
from runwright.http.ava.envelopes import Data
from runwright.http.ava.workers.routes import worker_id_of
from runwright.http.fields import to_out
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVA, "/v1/ava/analytics", tag="Analytics")


@ROUTES.add("GET", "", READS, "Report on all jobs", query=AnalyticsQuery, errors=(422,))
async def read_analytics(request: Request) -> Data[AnalyticsOut]:
    """Returns the counts of jobs that have ended, exact at the time of the request."""
    days = request.query(READ_ANALYTICS).days
    return Data(to_out(AnalyticsOut, await request.services.analytics.report(request.tenant_id, days=days)))


@ROUTES.add("GET", "/workers", READS, "Report on all workers", query=WorkersQuery, errors=(422,))
async def read_analytics_by_worker(request: Request) -> Data[AnalyticsByWorkerOut]:
    """Returns how the jobs of each worker ended, how long they took, and how many are queued and running."""
    query, services = request.query(READ_WORKERS), request.services
    report = await services.analytics.by_worker(
        request.tenant_id,
        await services.queues.snapshot(request.tenant_id),
        days=query.days,
        order=query.sort,
        limit=query.limit,
    )
    rows = [to_out(WorkerTotalsOut, one) for one in report.workers]
    return Data(to_out(AnalyticsByWorkerOut, report, workers=rows))


@ROUTES.add(
    "GET",
    "/workers/{worker_id}",
    READS,
    "Report on the jobs of a worker",
    query=AnalyticsQuery,
    errors=(404, 422),
)
async def read_worker_analytics(request: Request) -> Data[WorkerAnalyticsOut]:
    """Returns the same report for the jobs of one worker."""
    days, worker_id = request.query(READ_ANALYTICS).days, worker_id_of(request)
    report = await request.services.analytics.report(request.tenant_id, days=days, worker_id=worker_id)
    return Data(to_out(WorkerAnalyticsOut, report, worker_id=worker_id))
