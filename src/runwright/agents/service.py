"""The service of agents; its values are in agents/model.py, their executions in agents/executions.py."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET

from runwright.agents.model import (
    AGENTS_PER_TENANT,
    TEST_EVENT,
    Agent,
    AgentCreate,
    AgentFields,
    AgentRegistration,
    Execution,
    ExecutionStatus,
)
from runwright.agents.opening import open_execution
from runwright.agents.store import agents as store
from runwright.agents.store.calls import drop_calls
from runwright.agents.store.executions import fetch_execution
from runwright.core.clock import Clock
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import AgentId, OwnerId, new_id
from runwright.core.paging import View, Window
from runwright.core.roles import Caller
from runwright.db.pool import Database, PoolConnection
from runwright.events.store import subscribe
from runwright.secrets.keyring import SecretBox
from runwright.tenants.audit import record
from runwright.workers.model import WorkerStatus
from runwright.workers.store import fetch_worker, find_workers

_SECRET_BYTES: Final = 20
_BOTH: Final = "An agent has a callback_url or a worker, not both."


class Agents:
    """Register, change, test and delete agents. A call returns after its changes are committed."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        secret_box: SecretBox,
        on_due: Callable[[], None] = lambda: None,
        on_subscribed: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_due` is called after an execution was queued, `on_subscribed` before an agent is changed."""
        self._db = db
        self._clock = clock
        self._secret_box = secret_box
        self._on_due = on_due
        self._on_subscribed = on_subscribed

    async def register(self, caller: Caller, new: AgentCreate) -> AgentRegistration:
        """Create the agent, or change the given fields of the one of this name.

        Of concurrent callers exactly one creates it and gets its secret. InvalidError for an unknown
        worker; ConflictError where the tenant has reached its limit.
        """
        now = self._clock()
        self._on_subscribed()
        fresh = _fresh(caller, new, now)
        secret = new.secret or secrets.token_hex(_SECRET_BYTES)
        async with self._db.acquire() as db, db.transaction():
            known = await store.find_agent(db, tenant_id=caller.tenant_id, name=new.name, lock=True)
            if known is None:
                agent = _applied(fresh, new.fields, now)
                await self._check(db, agent)
                if not await store.has_room(db, tenant_id=caller.tenant_id, most=AGENTS_PER_TENANT):
                    raise ConflictError(f"The tenant has {AGENTS_PER_TENANT} agents; delete one first.")
                sealed = self._secret_box.encrypt(agent.tenant_id, OwnerId(agent.id), secret)
                if await store.insert_agent(db, agent, sealed):
                    await _subscribe(db, agent)
                    await record(db, caller, "agent.create", agent.id, after=agent, now=now)
                    return AgentRegistration(agent, created=True, secret=secret)
                known = await store.find_agent(db, tenant_id=caller.tenant_id, name=new.name, lock=True)
                if known is None:  # created and deleted by other callers just now
                    raise ConflictError("The agent was deleted meanwhile; register it again.")
            changed = await self._write(db, caller, known, new.fields, now)
            return AgentRegistration(changed, created=False, secret=None)

    async def with_worker(self, tenant_id: str, fields: AgentFields) -> AgentFields:
        """Return the fields with the id of the worker in place of its name."""
        worker = fields.worker_id
        if worker is UNSET or worker is None:
            return fields
        found = await find_workers(self._db, [(tenant_id, worker)])
        return msgspec.structs.replace(fields, worker_id=found.get((tenant_id, worker), worker))

    async def get(self, tenant_id: str, agent_id: AgentId) -> Agent:
        """Return one agent of the tenant."""
        return _found(await store.fetch_agent(self._db, tenant_id=tenant_id, agent_id=agent_id), agent_id)

    async def find(self, tenant_id: str, name: str) -> Agent | None:
        """Return the tenant's agent of this name."""
        return await store.find_agent(self._db, tenant_id=tenant_id, name=name)

    async def list(self, tenant_id: str, window: Window) -> View[Agent]:
        """Return a window of the tenant's agents."""
        return await store.list_agents(self._db, tenant_id=tenant_id, window=window)

    async def stats(self, agent: Agent) -> dict[ExecutionStatus, int]:
        """Return the number of its executions by state; states without any are left out."""
        return await store.count_executions(self._db, agent_id=agent.id)

    async def change(self, caller: Caller, agent_id: AgentId, fields: AgentFields) -> Agent:
        """Change the given fields. InvalidError for a name that is taken, or an unknown worker."""
        self._on_subscribed()
        async with self._db.acquire() as db, db.transaction():
            agent = await store.fetch_agent(db, tenant_id=caller.tenant_id, agent_id=agent_id, lock=True)
            return await self._write(db, caller, _found(agent, agent_id), fields, self._clock())

    async def delete(self, caller: Caller, agent_id: AgentId) -> None:
        """Delete an agent with its executions."""
        async with self._db.acquire() as db, db.transaction():
            if not await store.delete_agent(db, tenant_id=caller.tenant_id, agent_id=agent_id):
                raise _no_agent(agent_id)
            await subscribe(db, tenant_id=caller.tenant_id, subscriber_id=agent_id, patterns=())
            await record(db, caller, "agent.delete", agent_id, now=self._clock())

    async def test(self, caller: Caller, agent_id: AgentId) -> Execution:
        """Open an execution of a test event for the agent, even if it is inactive."""
        now = self._clock()
        async with self._db.acquire() as db, db.transaction():
            agent = await store.fetch_agent(db, tenant_id=caller.tenant_id, agent_id=agent_id)
            message = {"agent_id": _found(agent, agent_id).id, "message": "This is a test of the agent."}
            execution_id = await open_execution(db, caller.tenant_id, agent_id, TEST_EVENT, message, (), now)
            await record(db, caller, "agent.test", agent_id, before=agent, after=agent, now=now)
        self._on_due()
        execution = await fetch_execution(self._db, tenant_id=caller.tenant_id, execution_id=execution_id)
        if execution is None:
            raise _no_agent(agent_id)  # deleted just now
        return execution

    async def _write(
        self, db: PoolConnection, caller: Caller, agent: Agent, fields: AgentFields, now: datetime
    ) -> Agent:
        """Write an agent if a field changes: agents register at each start, mostly unchanged."""
        if _applied(agent, fields, agent.updated_at) == agent:
            return agent
        changed = _applied(agent, fields, now)
        await self._check(db, changed)
        if not await store.update_agent(db, changed):
            raise InvalidError({"name": ["An agent with this name already exists."]})
        if changed.callback_url is None and changed.worker_id is None:
            await drop_calls(db, agent.id)
        await _subscribe(db, changed)
        await record(db, caller, "agent.change", agent.id, before=agent, after=changed, now=now)
        return changed

    async def _check(self, db: PoolConnection, agent: Agent) -> None:
        if agent.callback_url is not None and agent.worker_id is not None:
            raise InvalidError({"worker": [_BOTH]})
        if agent.worker_id is None:
            return
        worker = await fetch_worker(db, tenant_id=agent.tenant_id, worker_id=agent.worker_id)
        if worker is None or worker.status is WorkerStatus.DEPRECATED:
            raise InvalidError({"worker": ["There is no such worker."]})


def _fresh(caller: Caller, new: AgentCreate, now: datetime) -> Agent:
    return Agent(
        id=AgentId(new_id("agt", now)),
        tenant_id=caller.tenant_id,
        name=new.name,
        style=new.style,
        created_by=caller.user_id,
        created_at=now,
        updated_at=now,
    )


def _applied(agent: Agent, fields: AgentFields, now: datetime) -> Agent:
    given = fields.given()
    if "active" in given:
        given["inactive_reason"] = None
    return msgspec.structs.replace(agent, **given, updated_at=now)


async def _subscribe(db: PoolConnection, agent: Agent) -> None:
    await subscribe(
        db,
        tenant_id=agent.tenant_id,
        subscriber_id=agent.id,
        patterns=agent.patterns if agent.active else (),
    )


def _found(agent: Agent | None, agent_id: AgentId) -> Agent:
    if agent is None:
        raise _no_agent(agent_id)
    return agent


def _no_agent(agent_id: AgentId) -> NotFoundError:
    return NotFoundError(f"There is no agent {agent_id}.")
