"""Large bodies: few of each tenant are in memory at once, and they are validated in threads.

So the event loop stays free: small steps alternate with the loop's, and a single one, for example the
decoder's, takes less than 20 ms for the largest body. Tenants take turns: of each one body is validated at a
time, and few in all.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from runwright.workers.bundles.tenant_turns import TenantTurns

T = TypeVar("T")

SMALL_BODY_BYTES: Final = 32 * 1024
"""Up to so many bytes a body is validated at once."""

AT_ONCE_PER_TENANT: Final = 16
"""Large bodies of one tenant in memory, until their requests are done with them."""

TURN_SECONDS: Final = 10.0
_AT_ONCE: Final = 100_000
"""Tenants do not wait for each other's clients."""

_THREADS: Final = 2


class LargeBodies:
    """The threads, and the turns of the tenants."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="validation")
        self._free = asyncio.Semaphore(_THREADS)
        self._of_tenants: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._turns = TenantTurns(
            at_once=_AT_ONCE,
            per_tenant=AT_ONCE_PER_TENANT,
            wait_seconds=TURN_SECONDS,
            message="Too many large requests are in progress; try again.",
        )

    def turn(self, tenant_id: str) -> AbstractAsyncContextManager[None]:
        """Wait until a large body of the tenant may be read; it is in memory for the length of the block.

        UnavailableError after `TURN_SECONDS`.
        """
        return self._turns.turn(tenant_id)

    async def validate(self, tenant_id: str, validate: Callable[[bytes], T], body: bytes) -> T:
        """Return what `validate` makes of a body, or raise its error."""
        if len(body) <= SMALL_BODY_BYTES:
            return validate(body)
        turn = self._of_tenants.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._free:
            return await asyncio.get_running_loop().run_in_executor(self._threads, validate, body)
