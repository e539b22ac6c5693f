"""The health report of `/healthz`: the server and what it depends on."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from runwright import __version__
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.executor.executor import Executor
from runwright.http.services import Facts, Health
from runwright.leases.store import live_executors
from runwright.runtimes.host import Host
from runwright.schedules.store.ticks import next_due_at

_TIMEOUT_SECONDS: Final = 2.0
_OVERDUE_SECONDS: Final = 60.0
"""If a tick is overdue for longer, no scheduler is running."""


class HealthReporter:
    """Checks the database, the executors registered in it, and the sandbox pool of this process."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        host: Host,
        executor: Executor | None,
        draining: Callable[[], bool],
    ) -> None:
        self._db = db
        self._clock = clock
        self._host = host
        self._executor = executor
        self._draining = draining

    async def report(self) -> Health:
        """Return the report. It never raises and takes a few seconds at most."""
        database: Facts
        executors: Facts
        schedules: Facts = {}
        status: Literal["ok", "degraded", "unavailable"] = "ok"
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                version = await self._db.fetchval("SHOW server_version")
                live = await live_executors(self._db)
                overdue = await self._overdue_seconds()
        except Exception as error:  # noqa: BLE001  the report contains any error
            database, executors = {"reachable": False, "error": type(error).__name__}, {}
            status = "unavailable"
        else:
            database = {"reachable": True, "version": version}
            executors = {"live": len(live), "slots": sum(one.slots for one in live)}
            schedules = {"overdue_seconds": overdue}
            if not live or overdue > _OVERDUE_SECONDS:
                status = "degraded"
        return Health(
            status="degraded" if status == "ok" and self._draining() else status,
            version=__version__,
            isolation={
                "level": self._host.isolation.wire_name,
                "reached": list(self._host.reached),
                "missing": [f"{one.what}: {one.why}" for one in self._host.missing],
            },
            database=database,
            executors=executors,
            schedules=schedules,
            pool=self._pool(),
            # The report is public: only `runwright doctor` shows paths of the host.
            runtimes=[msgspec.structs.replace(one, path=None) for one in self._host.runtimes.values()],
        )

    async def _overdue_seconds(self) -> float:
        """Return how long the oldest due tick has been overdue."""
        due_at = await next_due_at(self._db)
        return 0.0 if due_at is None else max(0.0, (self._clock() - due_at).total_seconds())

    def _pool(self) -> Facts:
        if self._executor is None:
            return {}
        stats = self._executor.pool.stats()
        facts: Facts = {"running": stats.running, "waiting": stats.waiting, "booted": stats.booted}
        for runtime, states in stats.sandboxes.items():
            for state, count in states.items():
                facts[f"{runtime}_{state}"] = count
        return facts
