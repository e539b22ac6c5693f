"""Turns at costly work: few at once in all, fewer of one tenant; the wait is bounded in time and number.

What waits is not free: the kernel keeps what its client has sent.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Final
from weakref import WeakValueDictionary

from runwright.core.errors import UnavailableError

MOST_WAITING: Final = 64
"""How many wait for a turn of one tenant."""


class TenantTurns:
    """Limits how much work is done at once, in total and for one tenant."""

    def __init__(self, *, at_once: int, per_tenant: int, wait_seconds: float, message: str) -> None:
        """`message`: of the UnavailableError for those that have waited `wait_seconds`."""
        self._turns = asyncio.Semaphore(at_once)
        self._per_tenant = per_tenant
        self._wait_seconds = wait_seconds
        self._message = message
        self._by_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the tenant, and have it for the length of the block.

        UnavailableError where too many wait already, and after the time.
        """
        own = self._by_tenant.setdefault(tenant_id, asyncio.Semaphore(self._per_tenant))
        async with contextlib.AsyncExitStack() as held:
            with self._counted(tenant_id):
                try:
                    async with asyncio.timeout(self._wait_seconds):
                        await held.enter_async_context(own)
                        await held.enter_async_context(self._turns)
                except TimeoutError:
                    raise UnavailableError(self._message) from None
            yield

    @contextlib.contextmanager
    def _counted(self, tenant_id: str) -> Iterator[None]:
        """Count one that waits."""
        if self._waiting[tenant_id] >= MOST_WAITING:
            raise UnavailableError(self._message)
        self._waiting[tenant_id] += 1
        try:
            yield
        finally:
            self._waiting[tenant_id] -= 1
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]
