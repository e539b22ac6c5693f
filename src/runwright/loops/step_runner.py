"""Carries out long operations, a step at a time."""

from collections.abc import Awaitable, Callable
from typing import Final

from runwright.core.clock import Stopwatch
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit

IDLE_SECONDS: Final = 5.0
"""How soon an operation continues that a process which has died left behind."""


class StepRunner:
    """The loop of one process; any number may run. After each step it pauses as long as the step took."""

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], *, emit: Emit) -> None:
        """`step` takes one step of some operation, and returns False where none is due."""
        self._step = step
        self.loop = PassLoop(name, self._make_pass, emit=emit)

    async def start(self) -> None:
        """Start the loop."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop after the current step."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        watch = Stopwatch()
        return watch.seconds() if await self._step() else IDLE_SECONDS
