"""`rw.queues`, `rw.analytics` and `rw.runtimes`: what waits, how jobs ended, and what runs them."""

from typing import Literal

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.reports import (
    AnalyticsByWorkerInfo,
    AnalyticsInfo,
    QueueInfo,
    QueueListInfo,
    RuntimeEntry,
)
from runwright.client.worker_names import worker_id

WorkerOrderName = Literal["total", "failure_rate", "p95_duration", "queued"]

_List = list


class QueuesApi(DualMode[M]):
    """How many jobs are queued and running."""

    @call
    async def all(self) -> QueueListInfo:
        """Return the live jobs of the tenant, by worker."""
        return await self._session.read(QueueListInfo, "GET /v1/ava/queues")

    @call
    async def get(self, worker: str) -> QueueInfo:
        """Return the live jobs of a worker, by name or id."""
        chosen = await worker_id(self._session, worker)
        return await self._session.read(QueueInfo, "GET /v1/ava/queues/{worker_id}", chosen)


class AnalyticsApi(DualMode[M]):
    """How jobs ended."""

    @call
    async def report(self, *, days: int = 30) -> AnalyticsInfo:
        """Return how the jobs of the last days (UTC, today among them) ended."""
        return await self._session.read(AnalyticsInfo, "GET /v1/ava/analytics", query={"days": days})

    @call
    async def worker(self, worker: str, *, days: int = 30) -> AnalyticsInfo:
        """Return how the jobs of a worker, by name or id, ended."""
        chosen = await worker_id(self._session, worker)
        route = "GET /v1/ava/analytics/workers/{worker_id}"
        return await self._session.read(AnalyticsInfo, route, chosen, query={"days": days})

    @call
    async def by_worker(
        self, *, days: int = 30, sort: WorkerOrderName = "total", limit: int = 100
    ) -> AnalyticsByWorkerInfo:
        """Return the figures of the first workers in an order, those with live jobs too."""
        query = {"days": days, "sort": sort, "limit": limit}
        return await self._session.read(AnalyticsByWorkerInfo, "GET /v1/ava/analytics/workers", query=query)


class RuntimesApi(DualMode[M]):
    """What the server runs workers on."""

    @call
    async def list(self) -> _List[RuntimeEntry]:
        """Return every runtime, ready or not."""
        return await self._session.read_list(RuntimeEntry, "GET /v1/ava/runtimes")
