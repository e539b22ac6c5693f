"""Large bodies are validated in threads, so that the event loop stays free.

Small steps alternate with the loop's; a single one, for example the decoder's, takes less than 20 ms for the
largest body. Tenants take turns: of each one body is validated at a time, and few in all.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

SMALL_BODY_BYTES: Final = 32 * 1024
"""Up to so many bytes a body is validated at once."""

_THREADS: Final = 2


class LargeBodies:
    """The threads, and the turns of the tenants."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="validation")
        self._free = asyncio.Semaphore(_THREADS)
        self._of_tenants: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def validate(self, tenant_id: str, validate: Callable[[bytes], T], body: bytes) -> T:
        """Return what `validate` makes of a body, or raise its error."""
        if len(body) <= SMALL_BODY_BYTES:
            return validate(body)
        turn = self._of_tenants.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._free:
            return await asyncio.get_running_loop().run_in_executor(self._threads, validate, body)
