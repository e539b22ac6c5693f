"""Handing events to agents: what the router gives them, and what somebody hands to one of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from runwright.agents.store.opening import insert_unheard_event, open_for, open_matching
from runwright.core.errors import NotFoundError
from runwright.db.pool import PoolConnection
from runwright.events.model import Event
from runwright.telemetry.emit import Emit
from runwright.telemetry.events import EventChainStopped


class ExecutionSink:
    """Opens executions in the router's transaction; see `engine.router.Sink`."""

    def __init__(self, *, emit: Emit) -> None:
        self._emit = emit

    async def __call__(self, db: PoolConnection, pairs: Sequence[tuple[Event, str]], now: datetime) -> int:
        """Open an execution for each event and agent that match; returns how many there are."""
        opened = await open_matching(db, pairs, now)
        if opened.too_deep:
            self._emit(EventChainStopped(executions=opened.too_deep))
        return opened.executions


async def open_execution(
    db: PoolConnection,
    tenant_id: str,
    agent_id: str,
    event_type: str,
    payload: Mapping[str, object] | msgspec.Raw,
    ancestry: Sequence[str],
    now: datetime,
) -> str:
    """Hand an event to one agent alone, whatever it subscribed to, in the caller's transaction.

    Returns the execution's id; NotFoundError where the tenant has no such agent. An execution whose
    ancestry is too long fails at once. To learn of its end, follow it (agents/completion_callbacks.py).
    """
    data = bytes(payload) if isinstance(payload, msgspec.Raw) else msgspec.json.encode(payload)
    event = await insert_unheard_event(
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
