"""Turns at costly work with archives: few at once in all, fewer of one tenant, and a bounded wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from runwright.core.errors import UnavailableError


class TenantTurns:
    """Limits how much work is done at once, in total and for one tenant."""

    def __init__(self, *, at_once: int, per_tenant: int, wait_seconds: float, message: str) -> None:
        """`message`: of the UnavailableError for those that have waited `wait_seconds`."""
        self._turns = asyncio.Semaphore(at_once)
        self._per_tenant = per_tenant
        self._wait_seconds = wait_seconds
        self._message = message
        self._by_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the tenant, and have it for the length of the block."""
        own = self._by_tenant.setdefault(tenant_id, asyncio.Semaphore(self._per_tenant))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._turns)
            except TimeoutError:
                raise UnavailableError(self._message) from None
            yield
