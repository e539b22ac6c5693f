"""The routes of agents."""

from typing import Final

import msgspec
from litestar import Controller, Response, delete, get, patch, post, put
from litestar.params import FromPath

from runwright.agents.model import Agent, AgentCreate, AgentFields
from runwright.core.errors import ForbiddenError
from runwright.core.ids import uuid_of
from runwright.core.roles import Role
from runwright.http.avala.agent_forms import (
    AGENT_CHANGES,
    REGISTER_AGENT,
    WHOLE_AGENT,
    AgentChangesBody,
    RegisterAgentBody,
    WholeAgentBody,
    changed_fields,
    for_target,
    new_agent,
    whole_fields,
)
from runwright.http.avala.agent_shapes import AgentWire, TestQueuedWire, agent_wire
from runwright.http.avala.auth import ACTS, READS, WRITES, AvalaRequest
from runwright.http.avala.paging import Page, PageQuery, known, read_window, show_page
from runwright.http.avala.requests import read_body, read_query
from runwright.http.checks import Form, T
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Agents"
_CREATED, _OK = 201, 200
_EXAMPLE: Final = {"name": "QC Review Agent", "events": ["result.submitted"], "task_types": ["polygon"]}


class AgentRoutes(Controller):
    """Who reacts to events."""

    path = "/agents"

    @get("/", guards=[READS], opt=Operation("List agents", tag=_TAG, query=PageQuery, errors=(404,)).opt)
    async def list_agents(self, request: AvalaRequest) -> Page[AgentWire]:
        window = read_window(read_query(request), "agt")
        view = await services_of(request).agents.list(request.user.tenant_id, window)
        return show_page(request, view, lambda one: one.id, [agent_wire(one) for one in view.rows])

    @post(
        "/",
        guards=[ACTS],
        opt=Operation(
            "Register an agent",
            tag=_TAG,
            body=RegisterAgentBody,
            errors=(409,),
            unchanged="An agent of this name was there; what was said of it holds now",
            example=_EXAMPLE,
        ).opt,
    )
    async def register_agent(self, request: AvalaRequest) -> Response[AgentWire]:
        """Idempotent by name. The secret is in the answer where the agent is new, and never again.

        Making or changing one needs `tenant-system-admin`; with less, one that is there as it is said
        to be may be registered again, so that agents can start with a key that only lets them work.
        """
        new = new_agent(await _read(REGISTER_AGENT, request))
        agents = services_of(request).agents
        fields = await agents.with_worker(request.user.tenant_id, new.fields)
        new = msgspec.structs.replace(new, fields=fields)
        if request.user.role < Role.TENANT_SYSTEM_ADMIN:
            known_agent = await agents.find(request.user.tenant_id, new.name)
            if known_agent is None or not _is_as_said(known_agent, new):
                raise ForbiddenError("This needs the role tenant-system-admin.")
            return Response(agent_wire(known_agent), status_code=_OK)
        registered = await agents.register(request.user, new)
        wire = agent_wire(registered.agent, secret=registered.secret)
        return Response(wire, status_code=_CREATED if registered.created else _OK)

    @get("/{uid:str}", guards=[READS], opt=Operation("Get an agent", tag=_TAG, errors=(404,)).opt)
    async def get_agent(self, request: AvalaRequest, uid: FromPath[str]) -> AgentWire:
        """With how many of its executions are in each state."""
        agents = services_of(request).agents
        agent = await agents.get(request.user.tenant_id, known("agt", uid))
        return agent_wire(agent, stats=await agents.stats(agent))

    @put(
        "/{uid:str}",
        guards=[WRITES],
        opt=Operation("Replace an agent", tag=_TAG, body=WholeAgentBody, errors=(404,), example=_EXAMPLE).opt,
    )
    async def replace_agent(self, request: AvalaRequest, uid: FromPath[str]) -> AgentWire:
        """All but its secret."""
        await _require(request, uid)
        return await _change(request, uid, whole_fields(await _read(WHOLE_AGENT, request)))

    @patch(
        "/{uid:str}",
        guards=[WRITES],
        opt=Operation(
            "Update an agent", tag=_TAG, body=AgentChangesBody, errors=(404,), example={"is_active": False}
        ).opt,
    )
    async def change_agent(self, request: AvalaRequest, uid: FromPath[str]) -> AgentWire:
        """While it is not active it gets no new executions; those that it has stay open."""
        await _require(request, uid)
        return await _change(request, uid, changed_fields(await _read(AGENT_CHANGES, request)))

    @delete("/{uid:str}", guards=[WRITES], opt=Operation("Delete an agent", tag=_TAG, errors=(404,)).opt)
    async def delete_agent(self, request: AvalaRequest, uid: FromPath[str]) -> None:
        """For good, with its executions."""
        await services_of(request).agents.delete(request.user, known("agt", uid))

    @post(
        "/{uid:str}/test",
        guards=[WRITES],
        status_code=_OK,
        opt=Operation("Test an agent", tag=_TAG, errors=(404,)).opt,
    )
    async def test_agent(self, request: AvalaRequest, uid: FromPath[str]) -> TestQueuedWire:
        """Hands it an `agent.test`, also while it is not active."""
        agents = services_of(request).agents
        agent = await agents.get(request.user.tenant_id, known("agt", uid))
        execution = await agents.test(request.user, agent.id)
        return TestQueuedWire(
            detail="Test event queued.",
            execution_uid=uuid_of(execution.id),
            has_callback=agent.callback_url is not None,
        )


async def _read(form: Form[T], request: AvalaRequest) -> T:
    return for_target(form, services_of(request).outgoing).read_json(await read_body(request))


async def _require(request: AvalaRequest, uid: str) -> None:
    """Who may not see an agent learns nothing of its fields' rules."""
    await services_of(request).agents.get(request.user.tenant_id, known("agt", uid))


async def _change(request: AvalaRequest, uid: str, fields: AgentFields) -> AgentWire:
    agents = services_of(request).agents
    fields = await agents.with_worker(request.user.tenant_id, fields)
    return agent_wire(await agents.change(request.user, known("agt", uid), fields))


def _is_as_said(agent: Agent, new: AgentCreate) -> bool:
    return agent.style == new.style and msgspec.structs.replace(agent, **new.fields.given()) == agent
