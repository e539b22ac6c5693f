"""A limit on what a loop has in flight, with a count for each tenant."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from typing import Final

LOOK_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 0.005
"""The least time between two claims, so that each finds more than what has just ended."""
STOP_SECONDS: Final = 12.0


class InFlightLimiter:
    """Runs tasks and counts those that have not ended; `on_end` is called at each end."""

    def __init__(self, *, limit: int, on_end: Callable[[], None]) -> None:
        self._limit = limit
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_tenant: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """How many more tasks may begin."""
        return self._limit - len(self._tasks)

    @property
    def by_tenant(self) -> Mapping[str, int]:
        """How many tasks each tenant has in flight; tenants without any are left out."""
        return self._by_tenant

    def begin(self, tenant_id: str, work: Coroutine[object, object, None]) -> None:
        """Run a tenant's work beside what is in flight; it handles its own errors."""
        self._by_tenant[tenant_id] += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, tenant_id))

    async def stop(self) -> None:
        """Wait for what is in flight, and cancel what takes longer than `STOP_SECONDS`; safe twice."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _end(self, tenant_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._by_tenant[tenant_id] -= 1
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
        self._on_end()


def pause_until_due(next_due: datetime | None, now: datetime) -> float:
    """Return the seconds until the next row is due, at most `LOOK_SECONDS`: a notification may be lost."""
    wait = LOOK_SECONDS if next_due is None else (next_due - now).total_seconds()
    return min(max(wait, GATHER_SECONDS), LOOK_SECONDS)
