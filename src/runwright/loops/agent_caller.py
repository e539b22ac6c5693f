"""Tells executions to agents that have a callback or a worker.

Life of a call here: claimed (a lease, a fence one higher) → made → settled: decided, acknowledged, due
again one step up the ladder, or failed. An agent's worker is told by a job, made in one transaction
with the end of the call. A process that dies leaves leases that run out; the calls are then claimed by
whoever looks, at the same step, so a call may be made twice and none is lost, and the first decision
stands. What is no fault of the agent (database away, vault key missing) is no try.

Many are under way at once, few of them to one agent and a bounded number of one tenant (`claim_calls`
has the law), so a slow agent holds up nobody but itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Literal

from runwright.agents.callbacks import AgentLine, Answered, Call
from runwright.agents.store.calls import claim_calls, set_calls_aside, settle_call
from runwright.agents.store.deciding import Deciding, decide_executions
from runwright.agents.worker_jobs import submit_jobs
from runwright.core.clock import Clock, Stopwatch
from runwright.db.pool import Database
from runwright.events.notifications import EventNotifications
from runwright.loops.in_flight_limiter import GATHER_SECONDS, LOOK_SECONDS, InFlightLimiter, pause_until_due
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import (
    AgentCalled,
    AgentCallNotSettled,
    AgentCallSetAside,
    AgentDeactivated,
    AgentJobsSubmitted,
)

AT_ONCE: Final = 128
TENANT_AT_ONCE: Final = 64
LEASE_SECONDS: Final = 60.0
SET_ASIDE_SECONDS: Final = 10.0
_BY_CALLBACK: Final = "callback"


class AgentCaller:
    """Claims, calls and settles. Any number may run."""

    def __init__(
        self,
        db: Database,
        *,
        line: AgentLine,
        clock: Clock,
        hints: EventNotifications,
        on_jobs: Callable[[], None],
        emit: Emit,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`on_jobs` is called when jobs were queued."""
        self._db = db
        self._line = line
        self._clock = clock
        self._hints = hints
        self._on_jobs = on_jobs
        self._emit = emit
        self._lease_seconds = lease_seconds
        self._cursor: str | None = None
        self.loop = PassLoop("agent caller", self._make_pass, emit=emit)
        self._under_way = InFlightLimiter(at_once=AT_ONCE, on_end=self.loop.wake)
        hints.on_due(self.loop.wake)

    async def start(self) -> None:
        """Begin to call."""
        self.loop.start()

    async def stop(self) -> None:
        """Claim nothing more; calls under way may end, or go back."""
        await self.loop.stop()
        await self._under_way.stop()

    async def _make_pass(self) -> float:
        if self._under_way.room <= 0:
            return LOOK_SECONDS  # the next one that ends wakes
        claimed = await claim_calls(
            self._db,
            now=self._clock(),
            limit=self._under_way.room,
            lease_seconds=self._lease_seconds,
            cursor=self._cursor,
            used=self._under_way.of_tenant,
            tenant_room=TENANT_AT_ONCE,
        )
        self._cursor = claimed.cursor
        await self._submit([(one, one.worker_id) for one in claimed.calls if one.worker_id is not None])
        for call in claimed.calls:
            if call.worker_id is None:
                self._under_way.begin(call.execution.tenant_id, self._call(call))
        if claimed.cursor is not None or any(one.worker_id is not None for one in claimed.calls):
            return 0.0
        if claimed.calls:
            return GATHER_SECONDS
        return pause_until_due(claimed.next_due, self._clock())

    async def _submit(self, calls: Sequence[tuple[Call, str]]) -> None:
        if not calls:
            return
        watch = Stopwatch()
        try:
            made = await submit_jobs(self._db, calls, self._line.body, self._clock())
        except Exception as error:  # noqa: BLE001  no fault of the agents
            await self._set_aside([call for call, _ in calls], error)
            return
        self._emit(AgentJobsSubmitted(count=made, duration_seconds=watch.seconds()))
        if made:
            self._on_jobs()

    async def _call(self, call: Call) -> None:
        try:
            watch = Stopwatch()
            answered = await self._answer(call)
            if answered is not None:
                result: Literal["answered", "failed"] = "failed" if answered.error else "answered"
                self._emit(AgentCalled(result=result, duration_seconds=watch.seconds()))
                await self._settle(call, answered)
        except Exception as error:  # noqa: BLE001  the lease runs out, and somebody tries again
            self._emit(AgentCallNotSettled(execution_id=call.execution.id, error=error_text(error)))

    async def _answer(self, call: Call) -> Answered | None:
        """Call the agent; None where that was not its fault and the call went back."""
        if call.callback_url is None:
            return Answered()  # it has neither a callback nor a worker any more: it polls
        try:
            return await self._line.call(call, call.callback_url)
        except Exception as error:  # noqa: BLE001  no fault of the agent
            await self._set_aside([call], error)
            return None
        except asyncio.CancelledError:
            await set_calls_aside(self._db, [call], until=self._clock())
            raise

    async def _set_aside(self, calls: Sequence[Call], error: Exception) -> None:
        execution_id = calls[0].execution.id
        self._emit(AgentCallSetAside(execution_id=execution_id, count=len(calls), error=error_text(error)))
        until = self._clock() + timedelta(seconds=SET_ASIDE_SECONDS)
        await set_calls_aside(self._db, calls, until=until)

    async def _settle(self, call: Call, answered: Answered) -> None:
        if answered.decision is None:
            await settle_call(self._db, call, answered, self._clock())
            if answered.gone:
                self._emit(AgentDeactivated(agent_id=call.execution.agent_id))
            return
        deciding = Deciding(execution_id=call.execution.id, decision=answered.decision, by=_BY_CALLBACK)
        await decide_executions(self._db, [deciding], self._clock())
        self._hints.appended()
