"""How many jobs are queued and running: of a tenant by worker, and of all tenants together.

Counted from the queue itself, which holds live jobs only. A count that took long (a queue of
millions) is shown again for ten times as long as it took; `sampled_at` is the time of the count.
"""

import asyncio
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.errors import NotFoundError
from runwright.core.ids import WorkerId
from runwright.db.pool import Database
from runwright.workers.store import fetch_worker

HIGH_PRIORITY: Final = 3
"""The least urgent priority that counts as high."""

_LONG_SECONDS: Final = 0.1
_KEPT_TIMES: Final = 10

_COUNT: Final = """
SELECT worker_id, count(*) FILTER (WHERE state <> 'running') AS queued,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state <> 'running' AND priority <= $2) AS high_priority,
       min(run_at) FILTER (WHERE state = 'ready' OR state = 'waiting' AND run_at <= $3) AS oldest_due_at
FROM job_queue WHERE tenant_id = $1 GROUP BY worker_id ORDER BY worker_id
"""

PRIORITY_CLASSES: Final = ("high", "normal", "low")
"""Priorities 1 to 3, 4 to 6 and 7 to 10."""

_COUNT_CLASSES: Final = f"""
WITH by_worker AS (  -- one row for each worker and class, however many jobs there are
    SELECT worker_id,
           CASE WHEN priority <= {HIGH_PRIORITY} THEN 'high' WHEN priority <= 6 THEN 'normal' ELSE 'low' END
               AS priority_class,
           count(*) FILTER (WHERE state = 'ready') AS ready,
           count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'running') AS running,
           min(run_at) FILTER (WHERE state = 'ready' OR state = 'waiting' AND run_at <= $1) AS oldest_due_at
    FROM job_queue GROUP BY worker_id, 2
)
SELECT w.runtime, priority_class, sum(ready)::bigint AS ready, sum(waiting)::bigint AS waiting,
       sum(running)::bigint AS running, min(oldest_due_at) AS oldest_due_at
FROM by_worker JOIN workers w ON w.id = worker_id GROUP BY w.runtime, priority_class
"""  # noqa: S608  a constant

_COUNT_ALL: Final = """
SELECT count(*) FILTER (WHERE state = 'ready') AS ready, count(*) FILTER (WHERE state = 'waiting') AS waiting,
       count(*) FILTER (WHERE state = 'running') AS running,
       min(run_at) FILTER (WHERE state = 'ready' OR state = 'waiting' AND run_at <= $1) AS oldest_due_at
FROM job_queue
"""


class QueueDepth(msgspec.Struct, frozen=True):
    """Live jobs of one worker; `high_priority` counts the queued jobs with priority 1 to 3."""

    worker_id: str
    queued: int
    running: int
    high_priority: int


class QueueSnapshot(msgspec.Struct, frozen=True):
    """Live jobs of a tenant, for each worker that has any."""

    by_worker: list[QueueDepth]
    sampled_at: datetime
    oldest_due_at: dict[str, datetime] = {}
    """By worker: since when the oldest job that has not started has been due."""

    @property
    def total_queued(self) -> int:
        """How many jobs are queued."""
        return sum(depth.queued for depth in self.by_worker)

    @property
    def total_running(self) -> int:
        """How many jobs are running."""
        return sum(depth.running for depth in self.by_worker)


class QueueClass(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs of all tenants, of one runtime and one of `PRIORITY_CLASSES`."""

    runtime: str
    priority_class: str
    ready: int = 0
    waiting: int = 0
    running: int = 0
    oldest_due_at: datetime | None = None


class QueueTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs of all tenants."""

    ready: int
    """Those that an executor could start now, as far as their workers, tenants and limits allow."""
    waiting: int
    """Those that wait for their time or for a retry."""
    running: int
    oldest_due_at: datetime | None
    """Since when the oldest of those that have not started has been due."""
    sampled_at: datetime


class Queues:
    """Counts live jobs."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._kept: dict[str, tuple[QueueSnapshot, float]] = {}
        """By tenant, with the time until which it is shown."""
        self._totals: tuple[QueueTotals, float] | None = None

    async def snapshot(self, tenant_id: str) -> QueueSnapshot:
        """Return the tenant's counts."""
        now = asyncio.get_running_loop().time()
        snapshot, until = self._kept.get(tenant_id, (None, 0.0))
        return snapshot if snapshot is not None and now < until else await self._count(tenant_id)

    async def depth(self, tenant_id: str, worker_id: WorkerId) -> QueueDepth:
        """Return one worker's counts. Raises NotFoundError where the tenant has no such worker."""
        if await fetch_worker(self._db, tenant_id=tenant_id, worker_id=worker_id) is None:
            raise NotFoundError(f"There is no worker {worker_id}.")
        snapshot = await self.snapshot(tenant_id)
        found = (depth for depth in snapshot.by_worker if depth.worker_id == worker_id)
        return next(found, QueueDepth(worker_id, 0, 0, 0))

    async def totals(self) -> QueueTotals:
        """Return the counts of all tenants together."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        if self._totals is not None and began_at < self._totals[1]:
            return self._totals[0]
        now = self._clock()
        row = await self._db.fetchrow(_COUNT_ALL, now)
        totals = QueueTotals(**dict(row or {}), sampled_at=now)
        took = loop.time() - began_at
        self._totals = (totals, loop.time() + _KEPT_TIMES * took) if took > _LONG_SECONDS else None
        return totals

    async def classes(self) -> list[QueueClass]:
        """Return the counts of all tenants by runtime and priority, for those that have any jobs."""
        rows = await self._db.fetch(_COUNT_CLASSES, self._clock())
        return [QueueClass(**dict(row)) for row in rows]

    async def _count(self, tenant_id: str) -> QueueSnapshot:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        sampled_at = self._clock()
        rows = await self._db.fetch(_COUNT, tenant_id, HIGH_PRIORITY, sampled_at)
        depths = [QueueDepth(**{name: row[name] for name in QueueDepth.__struct_fields__}) for row in rows]
        oldest = {row["worker_id"]: row["oldest_due_at"] for row in rows if row["oldest_due_at"] is not None}
        snapshot = QueueSnapshot(depths, sampled_at, oldest)
        now = loop.time()
        self._kept = {tenant: kept for tenant, kept in self._kept.items() if kept[1] > now}
        if now - began_at > _LONG_SECONDS:
            self._kept[tenant_id] = snapshot, now + _KEPT_TIMES * (now - began_at)
        return snapshot
