"""Carries out bulk operations, a step at a time."""

from typing import Final

from runwright.bulk.service import BulkSteps
from runwright.core.clock import Stopwatch
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit

IDLE_SECONDS: Final = 5.0
"""How soon an operation continues that a process which has died left behind."""


class BulkRunner:
    """The loop of one process; any number may run. After each step it pauses as long as the step took."""

    def __init__(self, steps: BulkSteps, *, emit: Emit) -> None:
        self._steps = steps
        self.loop = PassLoop("bulk operations", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Start the loop."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop after the current step."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        watch = Stopwatch()
        return watch.seconds() if await self._steps.step() else IDLE_SECONDS
