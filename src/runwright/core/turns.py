"""Long computations on the event loop, in slices between which other tasks have a turn."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

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


async def in_turns(rows: Iterable[R], convert: Callable[[R], T]) -> list[T]:
    """Return what `convert` makes of each row; other tasks run in between."""
    turns, converted = Turns(), []
    for row in rows:
        converted.append(convert(row))
        await turns.between()
    return converted
