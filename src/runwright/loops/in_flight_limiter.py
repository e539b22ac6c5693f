"""What a loop has under way to the outside: how much there may be, and of whom.

For the loops that claim what is due, many at a time, and send each by itself.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from typing import Final

LOOK_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 0.005
"""The least time between two claims, so that each finds more than what ended just now."""
STOP_SECONDS: Final = 12.0


class InFlightLimiter:
    """Counts what was begun and has not ended, in all and of each tenant; `on_end` is called at each end."""

    def __init__(self, *, at_once: int, on_end: Callable[[], None]) -> None:
        self._at_once = at_once
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_tenant: Counter[str] = Counter()

    @property
    def room(self) -> int:
        """How much more may be begun."""
        return self._at_once - len(self._tasks)

    @property
    def of_tenant(self) -> Mapping[str, int]:
        """How much each tenant has under way, of those that have anything."""
        return self._of_tenant

    def begin(self, tenant_id: str, work: Coroutine[object, object, None]) -> None:
        """Begin a tenant's work beside what is under way; it answers for its own errors."""
        self._of_tenant[tenant_id] += 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, tenant_id))

    async def stop(self) -> None:
        """Give what is under way time to end, then cancel it; safe twice."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _end(self, tenant_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._of_tenant[tenant_id] -= 1
        if not self._of_tenant[tenant_id]:
            del self._of_tenant[tenant_id]
        self._on_end()


def pause_until_due(next_due: datetime | None, now: datetime) -> float:
    """Return how long to wait for what is due next; what nobody told of is looked for all the same."""
    wait = LOOK_SECONDS if next_due is None else (next_due - now).total_seconds()
    return min(max(wait, GATHER_SECONDS), LOOK_SECONDS)
