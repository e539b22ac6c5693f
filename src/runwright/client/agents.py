"""`rw.agents`: who is handed events and decides about them."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Unpack

from runwright.client.dual_mode import DualMode, M, call
from runwright.client.models.agents import (
    AgentAction,
    AgentInfo,
    AgentOptions,
    AgentTestInfo,
    AgentUpdate,
    ExecutionInfo,
    PublishedInfo,
)
from runwright.client.models.base import decode_info
from runwright.client.pagination import PAGE_ROWS, PageSource, Results
from runwright.client.session import members_of, rows_of

_ROWS: Final = "results"


class AgentsApi(DualMode[M]):
    """The agents of the tenant, and their executions."""

    def list(self) -> Results[M, AgentInfo]:
        """Return agents, newest first."""
        source = PageSource(
            into=AgentInfo, route="GET /api/v1/agents", query={"limit": PAGE_ROWS}, member=_ROWS
        )
        return Results(self._session, source)

    @call
    async def get(self, uid: str) -> AgentInfo:
        """Return an agent, with the number of its executions in each state."""
        return await self._session.read(AgentInfo, "GET /api/v1/agents/{uid}", uid, member=None)

    @call
    async def register(
        self, name: str, events: Sequence[str], *, secret: str | None = None, **options: Unpack[AgentOptions]
    ) -> AgentInfo:
        """Create an agent, or change the given fields of the one of that name."""
        body = {"name": name, "events": [*events], "secret": secret, **options}
        return await self._session.read(AgentInfo, "POST /api/v1/agents", json=body, member=None)

    @call
    async def replace(
        self, uid: str, name: str, events: Sequence[str], **options: Unpack[AgentOptions]
    ) -> AgentInfo:
        """Replace all fields of an agent; those that are left out get their defaults."""
        body = {"name": name, "events": [*events], **options}
        return await self._session.read(AgentInfo, "PUT /api/v1/agents/{uid}", uid, json=body, member=None)

    @call
    async def update(self, uid: str, **changes: Unpack[AgentUpdate]) -> AgentInfo:
        """Change the given fields of an agent."""
        return await self._session.read(
            AgentInfo, "PATCH /api/v1/agents/{uid}", uid, json=changes, member=None
        )

    @call
    async def delete(self, uid: str) -> None:
        """Delete an agent and its executions."""
        await self._session.send("DELETE /api/v1/agents/{uid}", uid)

    @call
    async def test(self, uid: str) -> AgentTestInfo:
        """Open an execution of a test event."""
        return await self._session.read(AgentTestInfo, "POST /api/v1/agents/{uid}/test", uid, member=None)

    def executions(
        self, uid: str | None = None, *, status: str | None = None, action: str | None = None
    ) -> Results[M, ExecutionInfo]:
        """Return the executions of an agent, or of all, newest first."""
        route = "GET /api/v1/executions" if uid is None else "GET /api/v1/agents/{uid}/executions"
        source = PageSource(
            into=ExecutionInfo,
            route=route,
            ids=() if uid is None else (uid,),
            query={"status": status, "action": action, "limit": PAGE_ROWS},
            member=_ROWS,
        )
        return Results(self._session, source)

    @call
    async def claim(self, uid: str, *, seconds: int, limit: int = 1) -> Sequence[ExecutionInfo]:
        """Lease the oldest pending executions of an agent, so that no other poller gets them meanwhile."""
        query = {"claim": seconds, "limit": limit}
        answer = await self._session.send("GET /api/v1/agents/{uid}/executions", uid, query=query)
        return [decode_info(ExecutionInfo, row) for row in rows_of(members_of(answer), _ROWS)]

    @call
    async def execution(self, uid: str) -> ExecutionInfo:
        """Return an execution."""
        return await self._session.read(ExecutionInfo, "GET /api/v1/executions/{uid}", uid, member=None)

    @call
    async def act(
        self,
        execution: str,
        action: AgentAction,
        *,
        reason: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Decide about an execution, as its agent. The first decision stands."""
        body = {"execution": execution, "action": action, "reason": reason, "metadata": metadata}
        await self._session.send("POST /api/v1/agent-actions", json=body)

    @call
    async def decide(
        self,
        execution: str,
        action: Literal["approve", "reject", "skip"],
        *,
        reason: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> ExecutionInfo:
        """Decide about an execution that its agent has flagged, as a person."""
        body = {"action": action, "reason": reason, "metadata": metadata}
        route = "POST /api/v1/executions/{uid}/decision"
        return await self._session.read(ExecutionInfo, route, execution, json=body, member=None)

    @call
    async def publish(
        self, event: str, payload: Mapping[str, object], *, idempotency_key: str | None = None
    ) -> PublishedInfo:
        """Publish an event for agents and webhooks, and return how many agents get it."""
        body = {"event": event, "payload": payload, "idempotency_key": idempotency_key}
        return await self._session.read(PublishedInfo, "POST /api/v1/events", json=body, member=None)
