"""Ends executions that nobody decided in time, and takes back those whose poller let its lease run out."""

from typing import Final

from runwright.agents.store.deciding import next_due_at, return_leased, time_out_executions
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import ExecutionsTimedOut, PollLeasesExpired

BATCH: Final = 1000
LOOK_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.01


class ExecutionTimeouts:
    """Looks once a second, and when something is due before that. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, emit: Emit) -> None:
        self._db = db
        self._clock = clock
        self._emit = emit
        self.loop = PassLoop("agent clock", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Begin to watch the time."""
        self.loop.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self.loop.stop()

    async def _make_pass(self) -> float:
        now = self._clock()
        late = await time_out_executions(self._db, now=now, limit=BATCH)
        back = await return_leased(self._db, now=now, limit=BATCH)
        if late:
            self._emit(ExecutionsTimedOut(count=late))
        if back:
            self._emit(PollLeasesExpired(count=back))
        if BATCH in {late, back}:
            return 0.0
        due = await next_due_at(self._db)
        wait = LOOK_SECONDS if due is None else (due - self._clock()).total_seconds()
        return min(max(wait, _LEAST_SECONDS), LOOK_SECONDS)
