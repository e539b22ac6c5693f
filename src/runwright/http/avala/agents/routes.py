"""The routes of agents."""

from typing import Final, TypeVar

import msgspec

from runwright.agents.model import Agent, AgentCreate, AgentFields
from runwright.core.errors import ForbiddenError
from runwright.core.ids import AgentId, uuid_of
from runwright.core.roles import Role
from runwright.http.avala.agents.schemas import (
    CHANGE_AGENT,
    REGISTER_AGENT,
    REPLACE_AGENT,
    AgentIn,
    AgentOut,
    AgentPatch,
    AgentReplacement,
    AgentTestOut,
    agent_create,
    agent_out,
    patched_fields,
    replacement_fields,
)
from runwright.http.avala.authorization import READS, REGISTERS, WRITES
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.fields import https_url
from runwright.http.avala.requests import PAGE, Page, PageQuery, internal_id, page_out, read_body, read_window
from runwright.http.request import Request
from runwright.http.response import Reply
from runwright.http.routing import Routes
from runwright.http.validation import Validator

ROUTES: Final = Routes(AVALA, f"{PREFIX}/agents", tag="Agents")
T = TypeVar("T", bound=msgspec.Struct)

_CREATED, _OK = 201, 200
_EXAMPLE: Final = {"name": "QC Review Agent", "events": ["result.submitted"], "task_types": ["polygon"]}


@ROUTES.add("GET", "", READS, "List agents", query=PageQuery, errors=(404,))
async def list_agents(request: Request) -> Page[AgentOut]:
    window = read_window(request.query(PAGE), "agt")
    view = await request.services.agents.list(request.tenant_id, window)
    return page_out(request, view, [agent_out(one) for one in view.rows])


@ROUTES.add(
    "POST",
    "",
    REGISTERS,
    "Register an agent",
    body=AgentIn,
    errors=(409,),
    unchanged="An agent of this name existed; the given fields were changed",
    example=_EXAMPLE,
)
async def register_agent(request: Request) -> Reply[AgentOut]:
    """Idempotent by name. The secret is in the response for a new agent, and never again.

    Creating or changing an agent needs `tenant-system-admin`. With a lesser role an agent may be registered
    again without a change, so that agents can start with a key that only lets them work.
    """
    agents = request.services.agents
    new = agent_create(await _read(request, REGISTER_AGENT))
    new = msgspec.structs.replace(new, fields=await agents.with_worker(request.tenant_id, new.fields))
    if request.caller.role < Role.TENANT_SYSTEM_ADMIN:
        existing = await agents.find(request.tenant_id, new.name)
        if existing is None or not _equals(existing, new):
            raise ForbiddenError("This needs the role tenant-system-admin.")
        return Reply(agent_out(existing), _OK)
    registered = await agents.register(request.caller, new)
    out = agent_out(registered.agent, secret=registered.secret)
    return Reply(out, _CREATED if registered.created else _OK)


@ROUTES.add("GET", "/{uid}", READS, "Get an agent", errors=(404,))
async def get_agent(request: Request) -> AgentOut:
    """Includes the number of its executions in each state."""
    agent = await _agent(request)
    return agent_out(agent, stats=await request.services.agents.stats(agent))


@ROUTES.add(
    "PUT", "/{uid}", WRITES, "Replace an agent", body=AgentReplacement, errors=(404,), example=_EXAMPLE
)
async def replace_agent(request: Request) -> AgentOut:
    """Replaces all fields except the secret."""
    agent = await _agent(request)
    return await _change(request, agent, replacement_fields(await _read(request, REPLACE_AGENT)))


@ROUTES.add(
    "PATCH",
    "/{uid}",
    WRITES,
    "Update an agent",
    body=AgentPatch,
    errors=(404,),
    example={"is_active": False},
)
async def change_agent(request: Request) -> AgentOut:
    """An inactive agent gets no new executions; those that it has stay open."""
    agent = await _agent(request)
    return await _change(request, agent, patched_fields(await _read(request, CHANGE_AGENT)))


@ROUTES.add("DELETE", "/{uid}", WRITES, "Delete an agent", errors=(404,))
async def delete_agent(request: Request) -> None:
    """Deletes the agent and its executions."""
    await request.services.agents.delete(request.caller, AgentId(internal_id("agt", request.params["uid"])))


@ROUTES.add("POST", "/{uid}/test", WRITES, "Test an agent", status=_OK, errors=(404,))
async def test_agent(request: Request) -> AgentTestOut:
    """Opens an execution of an `agent.test` event, even if the agent is inactive."""
    agent = await _agent(request)
    execution = await request.services.agents.test(request.caller, agent.id)
    return AgentTestOut(
        detail="Test event queued.",
        execution_uid=uuid_of(execution.id),
        has_callback=agent.callback_url is not None,
    )


async def _read(request: Request, validator: Validator[T]) -> T:
    return await read_body(
        request, validator, {"callback_url": https_url("callback_url", request.services.outgoing)}
    )


async def _agent(request: Request) -> Agent:
    """Return the agent in the path; before the body is read, so that others' agents are 404 in any case."""
    agent_id = AgentId(internal_id("agt", request.params["uid"]))
    return await request.services.agents.get(request.tenant_id, agent_id)


async def _change(request: Request, agent: Agent, fields: AgentFields) -> AgentOut:
    agents = request.services.agents
    fields = await agents.with_worker(request.tenant_id, fields)
    return agent_out(await agents.change(request.caller, agent.id, fields))


def _equals(agent: Agent, new: AgentCreate) -> bool:
    return agent.style == new.style and msgspec.structs.replace(agent, **new.fields.given()) == agent
