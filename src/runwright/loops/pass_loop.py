"""A background loop: a pass when it is woken or its pause is over, until it is stopped."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

from runwright.core.clock import Clock
from runwright.db.availability import DatabaseAwayError
from runwright.db.pool import Database
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.server import LoopPassFailed

STOP_SECONDS: Final = 10.0


class PassLoop:
    """Calls `make_pass` again and again; a pass returns the pause in seconds before the next.

    A pass that raises is reported and the next one follows after `error_pause_seconds`, so that the
    loop outlives a database that is unavailable for a while. `passes` counts the completed passes,
    and with `reached` tests wait for one instead of sleeping.
    """

    def __init__(
        self,
        name: str,
        make_pass: Callable[[], Awaitable[float]],
        *,
        emit: Emit,
        error_pause_seconds: float = 0.5,
    ) -> None:
        self._name = name
        self._make_pass = make_pass
        self._emit = emit
        self._error_pause_seconds = error_pause_seconds
        self._woken = False
        self._pause: asyncio.Future[None] | None = None
        self._awaited: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.passes = 0

    def start(self) -> None:
        """Start; the first pass is made at once."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self, *, within_seconds: float = STOP_SECONDS) -> None:
        """Stop after the current pass, which is cancelled only where it hangs. Safe unstarted, and twice."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        self.wake()
        _, late = await asyncio.wait([task], timeout=within_seconds)
        if late:
            task.cancel()
            await asyncio.wait([task])

    def wake(self) -> None:
        """Make the next pass without waiting for the end of the pause."""
        self._woken = True
        if self._pause is not None:
            _resolve(self._pause)

    async def reached(self, passes: int) -> None:
        """Wait until that many passes were completed, counted from the start."""
        while self.passes < passes:
            passed = asyncio.get_running_loop().create_future()
            self._awaited.append(passed)
            await passed

    async def _run(self) -> None:
        while not self._stopping:
            self._woken = False
            try:
                pause = await self._make_pass()
            except (Exception, asyncio.CancelledError) as error:
                if _asked_to_end():
                    raise
                if not isinstance(error, DatabaseAwayError):  # reported once, by who noticed it
                    self._emit(LoopPassFailed(loop=self._name, error=error_text(error)))
                pause = self._error_pause_seconds
            self._count_pass()
            if pause <= 0 or self._woken:
                await asyncio.sleep(0)  # a pass may not have awaited anything; let other tasks run
            else:
                await self._rest(pause)

    def _count_pass(self) -> None:
        self.passes += 1
        while self._awaited:
            _resolve(self._awaited.pop())

    async def _rest(self, seconds: float) -> None:
        """Return after this time or at `wake`; without a task or a time-out, which cost as much as a pass."""
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(seconds, _resolve, self._pause)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _asked_to_end() -> bool:
    """Return whether this task itself was cancelled, and not only something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class DatabaseLoop(ABC):
    """A loop over rows of the database; a subclass makes the passes."""

    def __init__(self, name: str, db: Database, *, clock: Clock, emit: Emit) -> None:
        self._db = db
        self._clock = clock
        self._emit = emit
        self.loop = PassLoop(name, self._make_pass, emit=emit)

    async def start(self) -> None:
        """Start the loop."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop after the current pass."""
        await self.loop.stop()

    @abstractmethod
    async def _make_pass(self) -> float:
        """Make one pass; return the pause in seconds before the next."""
