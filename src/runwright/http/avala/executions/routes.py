"""The routes of executions: polls and decisions of agents, and reviews by people."""

from typing import Final

from msgspec import UNSET

from runwright.agents.model import Action, Agent, ExecutionFilter, ExecutionStatus
from runwright.core.errors import ForbiddenError, NotFoundError
from runwright.core.ids import AgentId, ExecutionId, id_of_uuid, uuid_of
from runwright.core.turns import in_turns
from runwright.http.avala.authorization import ACTS, DECIDES, READS
from runwright.http.avala.dialect import AVALA, PREFIX
from runwright.http.avala.executions.schemas import (
    ACTION,
    DECISION,
    LIST_AGENT_EXECUTIONS,
    LIST_EXECUTIONS,
    ActionIn,
    ActionOut,
    AgentExecutionQuery,
    DecisionIn,
    ExecutionOut,
    ExecutionQuery,
    decision_of,
    execution_out,
)
from runwright.http.avala.fields import canonical_uuid
from runwright.http.avala.requests import Page, internal_id, page_out, read_body, read_window
from runwright.http.request import Request
from runwright.http.routing import Routes

ROUTES: Final = Routes(AVALA, PREFIX, tag="Executions")

_OK: Final = 200
_SOME_UID: Final = "d4e5f6a7-b8c9-0d1e-2f3a-4b5c6d7e8f90"


@ROUTES.add(
    "GET",
    "/agents/{uid}/executions",
    READS,
    "List an agent's executions",
    query=AgentExecutionQuery,
    errors=(404,),
)
async def list_agent_executions(request: Request) -> Page[ExecutionOut]:
    """Newest first. Only `claim`, and polls of agents with `poll_lease_seconds`, change anything."""
    agent_id = AgentId(internal_id("agt", request.params["uid"]))
    agent = await request.services.agents.get(request.tenant_id, agent_id)
    query = request.query(LIST_AGENT_EXECUTIONS)
    seconds = _lease_seconds(request, query, agent)
    if seconds is None:
        return await _page(request, query, agent.id)
    limit = read_window(query, "exn").limit
    leased = await request.services.executions.lease(agent.id, seconds=seconds, limit=limit)
    return Page(None, None, await in_turns(leased, execution_out))


@ROUTES.add("GET", "/executions", READS, "List executions", query=ExecutionQuery, errors=(404,))
async def list_executions(request: Request) -> Page[ExecutionOut]:
    """Ours. Of all agents, newest first; `status=completed&action=flag` lists those that wait for people."""
    return await _page(request, request.query(LIST_EXECUTIONS), None)


@ROUTES.add("GET", "/executions/{uid}", READS, "Get an execution", errors=(404,))
async def get_execution(request: Request) -> ExecutionOut:
    """Ours."""
    execution_id = ExecutionId(internal_id("exn", request.params["uid"]))
    return execution_out(await request.services.executions.get(request.tenant_id, execution_id))


@ROUTES.add(
    "POST",
    "/executions/{uid}/decision",
    DECIDES,
    "Decide over a flag",
    status=_OK,
    body=DecisionIn,
    errors=(404, 409),
    example={"action": "approve", "reason": "Looks right to me."},
)
async def decide_over_flag(request: Request) -> ExecutionOut:
    """Ours: a person's decision, once, about an execution that its agent has flagged.

    `X-User-Id` names the person, else the key. It raises an `agent.action` of its own.
    """
    executions = request.services.executions
    execution = await executions.get(
        request.tenant_id, ExecutionId(internal_id("exn", request.params["uid"]))
    )
    body = await read_body(request, DECISION)
    return execution_out(await executions.review(request.caller, execution.id, decision_of(body)))


@ROUTES.add(
    "POST",
    "/agent-actions",
    ACTS,
    "Submit an action",
    status=_OK,
    body=ActionIn,
    errors=(404, 409),
    example={"execution": _SOME_UID, "action": "approve", "reason": "All good."},
)
async def submit_action(request: Request) -> ActionOut:
    """The first decision stands: 409 for any other, and for one that is too late."""
    body = await read_body(request, ACTION)
    execution_id = id_of_uuid("exn", canonical_uuid(body.execution) or "")
    if execution_id is None:
        raise NotFoundError("There is no such execution.")
    decided = await request.services.executions.decide(
        request.caller, ExecutionId(execution_id), decision_of(body)
    )
    return ActionOut(detail="Action recorded.", execution_uid=uuid_of(decided.id), action=Action(body.action))


def _lease_seconds(request: Request, query: AgentExecutionQuery, agent: Agent) -> int | None:
    """Return for how long a poll leases the executions that it gets; None: it leases none."""
    may_act = request.caller.role >= ACTS.role
    if query.claim is UNSET:
        polls = query.status is ExecutionStatus.PENDING and may_act and not query.cursor
        return agent.poll_lease_seconds if polls else None
    if not may_act:
        raise ForbiddenError("Claiming needs the role tenant-member.")
    return query.claim


async def _page(request: Request, query: ExecutionQuery, agent_id: str | None) -> Page[ExecutionOut]:
    which = ExecutionFilter(
        agent_id=agent_id,
        status=None if query.status is UNSET else query.status,
        action=None if query.action is UNSET else query.action,
    )
    window = read_window(query, "exn")
    view = await request.services.executions.list(request.tenant_id, which, window)
    return page_out(request, view, await in_turns(view.rows, execution_out))
