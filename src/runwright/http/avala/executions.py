"""The routes of executions: what agents are handed, what they decide, and what people do over their heads."""

from typing import Final

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from runwright.agents.model import (
    Action,
    Agent,
    ExecutionFilter,
    ExecutionStatus,
)
from runwright.core.errors import ForbiddenError, InvalidError, NotFoundError
from runwright.core.ids import id_of_uuid, uuid_of
from runwright.http.avala.agent_shapes import EventWire, ExecutionWire, RecordedWire, execution_wire
from runwright.http.avala.auth import ACTS, DECIDES, READS, AvalaRequest
from runwright.http.avala.event_names import wire_name
from runwright.http.avala.execution_forms import (
    ACTION,
    DECISION,
    EVENT,
    ActionBody,
    AgentExecutionQuery,
    DecisionBody,
    EventBody,
    ExecutionQuery,
    decision_of,
    new_event,
    read_choice,
    read_claim,
)
from runwright.http.avala.paging import Page, known, read_window, show_page
from runwright.http.avala.requests import read_body, read_query
from runwright.http.avala.rules import canonical_uuid
from runwright.http.operations import Operation
from runwright.http.services import services_of

_TAG: Final = "Executions"
_CREATED, _OK = 201, 200
_SOME_UID: Final = "d4e5f6a7-b8c9-0d1e-2f3a-4b5c6d7e8f90"


class ExecutionRoutes(Controller):
    """Executions of one agent, and of all: the inbox of people."""

    @get(
        "/agents/{uid:str}/executions",
        guards=[READS],
        opt=Operation("List an agent's executions", tag=_TAG, query=AgentExecutionQuery, errors=(404,)).opt,
    )
    async def list_agent_executions(self, request: AvalaRequest, uid: FromPath[str]) -> Page[ExecutionWire]:
        """Newest first. Changes nothing, but for `claim`, and polls of agents with `poll_lease_seconds`."""
        services = services_of(request)
        agent = await services.agents.get(request.user.tenant_id, known("agt", uid))
        query = read_query(request)
        seconds = _lease_asked(request, query, agent)
        if seconds is None:
            return await _page(request, query, agent.id)
        limit = read_window(query, "exn").limit
        leased = await services.executions.lease(agent.id, seconds=seconds, limit=limit)
        return Page(None, None, [execution_wire(one) for one in leased])

    @get(
        "/executions",
        guards=[READS],
        opt=Operation("List executions", tag=_TAG, query=ExecutionQuery, errors=(404,)).opt,
    )
    async def list_executions(self, request: AvalaRequest) -> Page[ExecutionWire]:
        """Ours. Of all agents, newest first; `status=completed&action=flag` is what waits for people."""
        return await _page(request, read_query(request), None)

    @get(
        "/executions/{uid:str}",
        guards=[READS],
        opt=Operation("Get an execution", tag=_TAG, errors=(404,)).opt,
    )
    async def get_execution(self, request: AvalaRequest, uid: FromPath[str]) -> ExecutionWire:
        """Ours."""
        executions = services_of(request).executions
        return execution_wire(await executions.get(request.user.tenant_id, known("exn", uid)))

    @post(
        "/executions/{uid:str}/decision",
        guards=[DECIDES],
        status_code=_OK,
        opt=Operation(
            "Decide over a flag",
            tag=_TAG,
            body=DecisionBody,
            errors=(404, 409),
            example={"action": "approve", "reason": "Looks right to me."},
        ).opt,
    )
    async def decide_over_flag(self, request: AvalaRequest, uid: FromPath[str]) -> ExecutionWire:
        """Ours: a person's decision, once, on an execution that its agent has flagged.

        `X-User-Id` says who, else the key. It raises an `agent.action` of its own.
        """
        executions = services_of(request).executions
        execution = await executions.get(request.user.tenant_id, known("exn", uid))
        decision = decision_of(DECISION.read_json(await read_body(request)))
        return execution_wire(await executions.review(request.user, execution.id, decision))

    @post(
        "/agent-actions",
        guards=[ACTS],
        status_code=_OK,
        opt=Operation(
            "Submit an action",
            tag=_TAG,
            body=ActionBody,
            errors=(404, 409),
            example={"execution": _SOME_UID, "action": "approve", "reason": "All good."},
        ).opt,
    )
    async def submit_action(self, request: AvalaRequest) -> RecordedWire:
        """The first decision stands: 409 for any other, and for one that comes too late."""
        body = ACTION.read_json(await read_body(request))
        execution_id = id_of_uuid("exn", canonical_uuid(body.execution) or "")
        if execution_id is None:
            raise NotFoundError("There is no such execution.")
        executions = services_of(request).executions
        decided = await executions.decide(request.user, execution_id, decision_of(body))
        return RecordedWire(
            detail="Action recorded.", execution_uid=uuid_of(decided.id), action=Action(body.action)
        )

    @post(
        "/events",
        guards=[ACTS],
        opt=Operation(
            "Publish an event",
            tag=_TAG,
            body=EventBody,
            errors=(409,),
            unchanged="Published earlier, with the same idempotency key",
            example={"event": "result.submitted", "payload": {"task_type": "polygon"}},
        ).opt,
    )
    async def publish_event(self, request: AvalaRequest) -> Response[EventWire]:
        """Ours: what agents react to and webhooks are told. Says how many agents get it."""
        new = new_event(EVENT.read_json(await read_body(request)))
        announced = await services_of(request).publisher.publish(request.user, new)
        wire = EventWire(
            uid=uuid_of(announced.event.id),
            event=wire_name(announced.event.type),
            executions=announced.executions,
        )
        return Response(wire, status_code=_OK if announced.replayed else _CREATED)


def _lease_asked(request: AvalaRequest, query: dict[str, str], agent: Agent) -> int | None:
    """Return for how long a poll leases what it gets; None: it only looks."""
    claim = read_claim(query)
    pending = query.get("status") == ExecutionStatus.PENDING
    if claim is None:
        acts = request.user.role >= ACTS.role and not query.get("cursor")
        return agent.poll_lease_seconds if pending and acts else None
    if query.get("status") is not None and not pending:
        raise InvalidError({"claim": ["Only pending executions can be claimed."]})
    if request.user.role < ACTS.role:
        raise ForbiddenError("Claiming needs the role tenant-member.")
    return claim


async def _page(request: AvalaRequest, query: dict[str, str], agent_id: str | None) -> Page[ExecutionWire]:
    status = read_choice(query, "status", ExecutionStatus)
    action = read_choice(query, "action", Action)
    which = ExecutionFilter(
        agent_id=agent_id,
        status=None if status is None else ExecutionStatus(status),
        action=None if action is None else Action(action),
    )
    window = read_window(query, "exn")
    view = await services_of(request).executions.list(request.user.tenant_id, which, window)
    return show_page(request, view, lambda one: one.id, [execution_wire(one) for one in view.rows])
