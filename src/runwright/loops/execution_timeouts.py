"""Times out executions without a decision, and returns those whose poll lease has expired."""

from typing import Final

from runwright.agents.store.deciding import next_due_at, return_expired_leases, time_out_executions
from runwright.core.clock import Clock
from runwright.db.pool import Database
from runwright.loops.pass_loop import DatabaseLoop
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.agents import ExecutionsTimedOut, PollLeasesExpired

BATCH: Final = 1000
LOOK_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 0.1
"""Also while an execution is overdue because another transaction holds its row."""


class ExecutionTimeouts(DatabaseLoop):
    """Looks once a second, and when the next one is due. Any number may run."""

    def __init__(self, db: Database, *, clock: Clock, emit: Emit) -> None:
        super().__init__("execution timeouts", db, clock=clock, emit=emit)

    async def _make_pass(self) -> float:
        now = self._clock()
        late = await time_out_executions(self._db, now=now, limit=BATCH)
        returned = await return_expired_leases(self._db, now=now, limit=BATCH)
        if late:
            self._emit(ExecutionsTimedOut(count=late))
        if returned:
            self._emit(PollLeasesExpired(count=returned))
        if BATCH in {late, returned}:
            return 0.0
        due = await next_due_at(self._db)
        wait = LOOK_SECONDS if due is None else (due - self._clock()).total_seconds()
        return min(max(wait, _LEAST_SECONDS), LOOK_SECONDS)
