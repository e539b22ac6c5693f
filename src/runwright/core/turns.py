"""Long computations on the event loop, in slices between which other tasks have a turn."""

import asyncio
import time
from typing import Final

SLICE_SECONDS: Final = 0.005


class Turns:
    """Lets other tasks run between the steps of a computation, once a slice is over."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def between(self) -> None:
        """Call between two steps, each of which takes far less than a slice."""
        if time.perf_counter() - self._began >= SLICE_SECONDS:
            await asyncio.sleep(0)
            self._began = time.perf_counter()
