"""Opening executions: for the subscribers of an event, or for one agent directly."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from runwright.agents.store.opening import insert_unrouted_event, open_for, open_matching
from runwright.core.errors import NotFoundError
from runwright.core.ids import AgentId
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.routing import EventChainStopped


class ExecutionSink:
    """The router's sink for agents."""

    def __init__(self, *, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime) -> int:
        """Open an execution for each matching event and agent; return how many."""
        opened = await open_matching(db, pairs, now)
        if opened.too_deep:
            self._emit(EventChainStopped(executions=opened.too_deep))
        return opened.executions


async def open_execution(
    db: PoolConnection,
    tenant_id: str,
    agent_id: AgentId,
    event_type: str,
    payload: Mapping[str, object] | msgspec.Raw,
    ancestry: Sequence[str],
    now: datetime,
) -> str:
    """Open an execution of an event for one agent alone, whatever it subscribed to; return its id.

    NotFoundError where the tenant has no such agent. An execution whose ancestry is too long fails at once.
    For its end add a completion callback in the same transaction (events/completion.py).
    """
    data = bytes(payload) if isinstance(payload, msgspec.Raw) else msgspec.json.encode(payload)
    event = await insert_unrouted_event(
        db,
        tenant_id=tenant_id,
        type=event_type,
        subject_id=agent_id,
        data=data,
        ancestry=ancestry,
        now=now,
    )
    execution_id = await open_for(db, event, agent_id, now)
    if execution_id is None:
        raise NotFoundError(f"There is no agent {agent_id}.")
    return execution_id
