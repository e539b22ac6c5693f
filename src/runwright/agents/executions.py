"""The service of executions; its values are in agents/model.py."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from runwright.agents.model import (
    Action,
    DecidedError,
    Decision,
    Execution,
    ExecutionFilter,
    ExecutionStatus,
    decision_of,
)
from runwright.agents.store.deciding import NewDecision, decide_executions, review_execution
from runwright.agents.store.executions import (
    fetch_execution,
    fetch_executions,
    lease_executions,
    list_executions,
)
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import AgentId, ExecutionId
from runwright.core.paging import View, Window
from runwright.core.roles import Caller
from runwright.db.pool import Database
from runwright.tenants.audit import record

_OPEN: Final = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})


class Executions:
    """List, lease and decide executions. A call returns after its changes are committed."""

    def __init__(self, db: Database, *, clock: Clock, on_decided: Callable[[], None] = lambda: None) -> None:
        """`on_decided` is called after a decision, whose event waits for the router."""
        self._db = db
        self._clock = clock
        self._on_decided = on_decided

    async def get(self, tenant_id: str, execution_id: ExecutionId) -> Execution:
        """Return one execution of the tenant."""
        found = await fetch_execution(self._db, tenant_id=tenant_id, execution_id=execution_id)
        if found is None:
            raise NotFoundError(f"There is no execution {execution_id}.")
        return found

    async def list(self, tenant_id: str, which: ExecutionFilter, window: Window) -> View[Execution]:
        """Return a window of the tenant's executions. The caller checks that the agent exists."""
        return await list_executions(self._db, tenant_id=tenant_id, which=which, window=window)

    async def lease(self, agent_id: AgentId, *, seconds: int, limit: int) -> Sequence[Execution]:
        """Lease the oldest pending executions of an agent to a poller; return them newest first.

        They are running until decided, or pending again when the lease expires; no other poller gets them
        meanwhile. Executions that are queued for a callback or a worker are not leased.
        """
        now = self._clock()
        ids = await lease_executions(self._db, agent_id=agent_id, now=now, lease_seconds=seconds, limit=limit)
        return await fetch_executions(self._db, ids) if ids else []

    async def decide(self, caller: Caller, execution_id: ExecutionId, decision: Decision) -> Execution:
        """Record an agent's decision. DecidedError unless it is the first one and in time."""
        new = NewDecision(execution_id=execution_id, decision=decision, by=caller.user_id)
        execution = await self.get(caller.tenant_id, execution_id)
        if await decide_executions(self._db, [new], self._clock()):
            self._on_decided()
            return await self.get(caller.tenant_id, execution_id)
        execution = await self.get(caller.tenant_id, execution_id)
        raise DecidedError(_why_over(execution))

    async def review(self, caller: Caller, execution_id: ExecutionId, decision: Decision) -> Execution:
        """Record a person's decision about a flagged execution; DecidedError for any other.

        Without metadata of its own it keeps the agent's, so that its event says what was decided on.
        """
        if decision.action is Action.FLAG:
            raise InvalidError({"action": ["Must be approve, reject or skip: it is flagged already."]})
        execution = await self.get(caller.tenant_id, execution_id)
        decision = _with_metadata_of(execution, decision)
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            done = await review_execution(
                db,
                tenant_id=caller.tenant_id,
                execution_id=execution_id,
                decision=decision,
                by=caller.user_id,
                now=now,
            )
            if done:
                await record(
                    db, caller, "execution.review", execution_id, before=None, after=decision, now=now
                )
        if not done:
            execution = await self.get(caller.tenant_id, execution_id)
            if execution.status in _OPEN:
                raise ConflictError("The agent has not decided yet.")
            raise DecidedError(_why_over(execution))
        self._on_decided()
        return await self.get(caller.tenant_id, execution_id)


def _with_metadata_of(execution: Execution, decision: Decision) -> Decision:
    if decision.metadata is not None or execution.response is None:
        return decision
    answer = decision_of(execution.response)
    return decision if answer is None else msgspec.structs.replace(decision, metadata=answer.metadata)


def _why_over(execution: Execution) -> str:
    if execution.review is not None:
        return f"A person has decided over this execution already ({execution.review.action})."
    if execution.status is ExecutionStatus.COMPLETED:
        return f"The execution was decided already ({execution.action})."
    if execution.status is ExecutionStatus.FAILED:
        return "The execution has failed."
    return "The time to decide on this execution is over."
