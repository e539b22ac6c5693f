"""The gauges of `/metrics`: the state of the whole installation, sampled when they are scraped."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from runwright.analytics.queues import Queues
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.telemetry.prometheus import Family, MetricSample
from runwright.workers.bundles.folders import cached_bytes

SAMPLE_SECONDS: Final = 2.0
"""How long a scrape waits for the database."""

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
_KINDS: Final = ("webhook", "agent")

Samples = Sequence[tuple[Mapping[str, str], float]]


class Gauges:
    """Collects the samples of the latest `refresh`; none while the database does not answer."""

    def __init__(self, db: Database, queues: Queues, *, clock: Clock, cache_dir: Path) -> None:
        self._db = db
        self._queues = queues
        self._clock = clock
        self._cache_dir = cache_dir
        self._lock = asyncio.Lock()
        self._shown_until = 0.0
        self._metrics: Sequence[Family] = ()

    def families(self) -> Iterable[Family]:
        """Return the latest samples."""
        return self._metrics

    async def refresh(self) -> None:
        """Take samples, unless the latest ones are new in proportion to what they cost. Never raises."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            began_at = loop.time()
            if began_at < self._shown_until:
                return
            self._metrics = ()
            with contextlib.suppress(Exception):  # the probes report a database that is away
                async with asyncio.timeout(SAMPLE_SECONDS):
                    self._metrics = [*await self._jobs(), *await self._outbox(), *await self._storage()]
            took = loop.time() - began_at
            self._shown_until = loop.time() + max(_SHOWN_SECONDS, _KEPT_TIMES * took)

    async def _jobs(self) -> list[Family]:
        totals = await self._queues.totals()
        executors = dict(await self._db.fetchrow(_EXECUTORS) or {})
        states = [({"state": state}, getattr(totals, state)) for state in ("ready", "waiting", "running")]
        age = _age(totals.oldest_due_at, totals.sampled_at)
        return [
            _gauge("jobs", "Jobs that have not ended, of all tenants, by state.", states),
            _gauge("oldest_due_job_seconds", "For how long the oldest job that waits has been due.", age),
            _gauge("executors", "Executors with a live lease that do not drain.", executors["live"]),
            _gauge("executor_slots", "The slots of these, without those of newcomers.", executors["slots"]),
        ]

    async def _outbox(self) -> list[Family]:
        now = self._clock()
        rows = {row["kind"]: dict(row) for row in await self._db.fetch(_OUTBOX)}
        none = {"pending": 0, "claimed": 0, "oldest_due_at": None}
        kinds = [({"kind": kind}, rows.get(kind, none)) for kind in _KINDS]

        def samples(field: str) -> Samples:
            return [(labels, row[field]) for labels, row in kinds]

        ages = [(labels, _age(row["oldest_due_at"], now)) for labels, row in kinds]
        return [
            _gauge("outbox_pending", "Requests to webhooks and agents that wait.", samples("pending")),
            _gauge("outbox_in_flight", "Those of them that are being sent.", samples("claimed")),
            _gauge("outbox_oldest_due_seconds", "For how long the oldest of them has been due.", ages),
        ]

    async def _storage(self) -> list[Family]:
        database = await self._db.fetchval("SELECT pg_database_size(current_database())")
        cache = await asyncio.to_thread(cached_bytes, self._cache_dir)
        return [
            _gauge("database_size_bytes", "The size of the database.", database),
            _gauge("cache_size_bytes", "Unpacked bundles and dependencies in `cache_dir`.", cache),
        ]


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def _gauge(name: str, documentation: str, value: float | Samples) -> Family:
    samples: Samples = [({}, value)] if isinstance(value, int | float) else value
    full_name = f"runwright_{name}"
    found = [MetricSample(full_name, labels, number) for labels, number in samples]
    return Family(full_name, "gauge", documentation, found)
