"""The gauges of the whole installation in `/metrics`, sampled from the database when they are scraped.

The cost of a sample grows with the queue, so it is bounded in time and not in rows: at most one is taken at
a time, none before ten times as long has passed as the last one took, and a scrape that would have to wait
longer than `SAMPLE_SECONDS` gets the previous samples, whose age is a metric too.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from runwright.analytics.queues import PRIORITY_CLASSES, QueueClass, Queues
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.schedules.store.ticks import next_due_at
from runwright.telemetry.prometheus import Family, Samples, family
from runwright.workers.bundles.folders import cached_bytes

SAMPLE_SECONDS: Final = 2.0
"""How long a scrape waits for samples."""

_LONGEST_SECONDS: Final = 30.0
_SHOWN_SECONDS: Final = 1.0
_KEPT_TIMES: Final = 10

_EXECUTORS: Final = """
SELECT count(*) AS live, coalesce(sum(slots), 0)::bigint AS slots FROM executors
WHERE lease_expires_at > clock_timestamp() AND NOT draining
"""
_OUTBOX: Final = """
SELECT kind, count(*) AS pending, count(*) FILTER (WHERE claimed) AS claimed, min(due_at) AS oldest_due_at
FROM outbox GROUP BY kind
"""
_EVENTS: Final = """
SELECT queued.count, created_at AS oldest_at
FROM (SELECT count(*), min(position) AS first FROM event_queue) AS queued LEFT JOIN events ON position = first
"""
_KINDS: Final = ("webhook", "agent")

_SAMPLE_AGE: Final = "How old the samples of the whole installation are."
_OLDEST: Final = "For how long the oldest job that waits has been due."
_EXECUTORS_LIVE: Final = "Executors with a live lease that do not drain."
_SLOTS: Final = "The slots of these, without those of newcomers."
_PENDING: Final = "Requests to webhooks and agents that wait."
_IN_FLIGHT: Final = "Those of them that are being sent."
_OUTBOX_AGE: Final = "For how long the oldest of them has been due."
_ROUTER_QUEUE: Final = "Events that have not been handed to their subscribers yet."
_ROUTER_LAG: Final = "How old the oldest of these events is."
_TICK_OVERDUE: Final = "For how long the oldest tick that was not fired has been due."
_CACHE: Final = "Unpacked bundles and dependencies in `cache_dir` of the process that answers."

_gauge = partial(family, kind="gauge")


class Gauges:
    """Collects the latest samples; none while the database does not answer."""

    def __init__(
        self, db: Database, queues: Queues, *, clock: Clock, cache_dir: Path, runtimes: Collection[str]
    ) -> None:
        """`runtimes`: which have samples also without a job, so that what reads them finds a zero."""
        self._db = db
        self._runtimes = runtimes
        self._queues = queues
        self._clock = clock
        self._cache_dir = cache_dir
        self._sampling: asyncio.Task[None] | None = None
        self._shown_until = 0.0
        self._sampled_at: datetime | None = None
        self._metrics: Sequence[Family] = ()

    def families(self) -> Iterable[Family]:
        """Return the latest samples, and their age."""
        if not self._metrics:
            return ()
        age = _age(self._sampled_at, self._clock())
        return [*self._metrics, _gauge("sample_age_seconds", description=_SAMPLE_AGE, value=age)]

    async def refresh(self) -> None:
        """Wait a bounded time for new samples, if it is time for them. Never raises."""
        loop = asyncio.get_running_loop()
        if self._sampling is None and loop.time() >= self._shown_until:
            self._sampling = loop.create_task(self._sample(), name="gauges")
        if self._sampling is not None:
            await asyncio.wait({self._sampling}, timeout=SAMPLE_SECONDS)

    def stop(self) -> None:
        """Give up the samples that are being taken."""
        if self._sampling is not None:
            self._sampling.cancel()

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        began_at, now = loop.time(), self._clock()
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                self._metrics = [
                    *await self._jobs(now),
                    *await self._outbox(now),
                    *await self._lags(now),
                    *await self._storage(),
                ]
        except Exception:  # noqa: BLE001  the probes report a database that is away
            self._metrics = ()
        finally:
            self._sampled_at, self._sampling = now, None
            self._shown_until = loop.time() + max(_SHOWN_SECONDS, _KEPT_TIMES * (loop.time() - began_at))

    async def _jobs(self, now: datetime) -> list[Family]:
        classes = await self._queues.classes()
        executors = dict(await self._db.fetchrow(_EXECUTORS) or {})
        states = [
            ({"state": state}, sum(getattr(one, state) for one in classes))
            for state in ("ready", "waiting", "running")
        ]
        age = max((_age(one.oldest_due_at, now) for one in classes), default=0.0)
        return [
            _gauge("jobs", description="Jobs that have not ended, of all tenants, by state.", value=states),
            *_by_class(classes, self._runtimes, now),
            _gauge("oldest_due_job_seconds", description=_OLDEST, value=age),
            _gauge("executors", description=_EXECUTORS_LIVE, value=executors["live"]),
            _gauge("executor_slots", description=_SLOTS, value=executors["slots"]),
        ]

    async def _outbox(self, now: datetime) -> list[Family]:
        rows = {row["kind"]: dict(row) for row in await self._db.fetch(_OUTBOX)}
        none = {"pending": 0, "claimed": 0, "oldest_due_at": None}
        kinds = [({"kind": kind}, rows.get(kind, none)) for kind in _KINDS]

        def samples(field: str) -> Samples:
            return [(labels, row[field]) for labels, row in kinds]

        ages = [(labels, _age(row["oldest_due_at"], now)) for labels, row in kinds]
        return [
            _gauge("outbox_pending", description=_PENDING, value=samples("pending")),
            _gauge("outbox_in_flight", description=_IN_FLIGHT, value=samples("claimed")),
            _gauge("outbox_oldest_due_seconds", description=_OUTBOX_AGE, value=ages),
        ]

    async def _lags(self, now: datetime) -> list[Family]:
        events = dict(await self._db.fetchrow(_EVENTS) or {})
        overdue = _age(await next_due_at(self._db), now)
        return [
            _gauge("router_queue_events", description=_ROUTER_QUEUE, value=events["count"]),
            _gauge("router_lag_seconds", description=_ROUTER_LAG, value=_age(events["oldest_at"], now)),
            _gauge("tick_overdue_seconds", description=_TICK_OVERDUE, value=overdue),
        ]

    async def _storage(self) -> list[Family]:
        database = await self._db.fetchval("SELECT pg_database_size(current_database())")
        cache = await asyncio.to_thread(cached_bytes, self._cache_dir)
        return [
            _gauge("database_size_bytes", description="The size of the database.", value=database),
            _gauge("cache_size_bytes", description=_CACHE, value=cache),
        ]


def _by_class(classes: Sequence[QueueClass], known: Collection[str], now: datetime) -> list[Family]:
    """Return the queue by runtime and priority class, every class of every runtime."""
    found = {(one.runtime, one.priority_class): one for one in classes}
    runtimes = sorted({*known, *(one.runtime for one in classes)})
    every = [
        found.get((runtime, each)) or QueueClass(runtime=runtime, priority_class=each)
        for runtime in runtimes
        for each in PRIORITY_CLASSES
    ]
    labelled = [({"runtime": one.runtime, "priority_class": one.priority_class}, one) for one in every]
    return [
        _gauge(
            "queue_jobs",
            description="Jobs by runtime, priority class and state.",
            value=[
                (labels | {"state": state}, getattr(one, state))
                for labels, one in labelled
                for state in ("ready", "waiting", "running")
            ],
        ),
        _gauge(
            "queue_oldest_due_seconds",
            description="For how long the oldest job that waits has been due, by runtime and priority class.",
            value=[(labels, _age(one.oldest_due_at, now)) for labels, one in labelled],
        ),
    ]


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
