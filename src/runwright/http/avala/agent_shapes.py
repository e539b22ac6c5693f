"""How the API shows agents, executions and decisions."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.agents.model import Action, Agent, Execution, ExecutionStatus, Review
from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import wire_name
from runwright.http.avala.payloads import payload_wire, text_of
from runwright.http.avala.wire import JsonObject, Time, Uid
from runwright.http.times import time_or_none, time_wire


class AgentWire(msgspec.Struct, frozen=True, kw_only=True):
    """A registration."""

    uid: Uid
    name: str
    description: str
    events: list[str]
    callback_url: str | None
    secret: Annotated[str, Meta(description="Shown once, when the agent is new.")] | UnsetType = UNSET
    is_active: bool
    project: Uid | None
    task_types: list[str]
    execution_stats: (
        Annotated[dict[str, int], Meta(description="How many executions are in each state, if any.")]
        | UnsetType
    ) = UNSET
    created_at: Time
    updated_at: Time
    worker: Annotated[str | None, Meta(description="Ours: the worker that answers.")]
    poll_lease_seconds: Annotated[int | None, Meta(description="Ours: how long polls hold what they get.")]
    inactive_reason: Annotated[str | None, Meta(description="Ours: why we deactivated it.")]


class ReviewWire(msgspec.Struct, frozen=True, kw_only=True):
    """What a person made of a flag."""

    action: Action
    reason: str | None
    decided_by: str
    decided_at: Time


class ExecutionWire(msgspec.Struct, frozen=True, kw_only=True):
    """One event handed to one agent."""

    uid: Uid
    registration: Annotated[Uid, Meta(description="The agent.")]
    event_type: str
    task: str | None
    result: str | None
    status: ExecutionStatus
    action: Annotated[Action | None, Meta(description="What stands: a person's decision over the agent's.")]
    event_payload: JsonObject
    response_payload: Annotated[
        msgspec.Raw | None,
        Meta(
            description="What the agent said: `action`, `reason`, `metadata`.",
            extra_json_schema={"anyOf": [{"type": "object"}, {"type": "null"}]},
        ),
    ]
    error_message: str | None
    started_at: Time | None
    completed_at: Time | None
    created_at: Time
    updated_at: Time
    decided_by: Annotated[str | None, Meta(description="Ours: who answered.")]
    leased_until: Annotated[Time | None, Meta(description="Ours: until when a poller holds it.")]
    review: Annotated[ReviewWire | None, Meta(description="Ours: a person's decision over a flag.")]


class RecordedWire(msgspec.Struct, frozen=True, kw_only=True):
    """A decision was taken."""

    detail: str
    execution_uid: Uid
    action: Action


class TestQueuedWire(msgspec.Struct, frozen=True, kw_only=True):
    """A test event is on its way."""

    detail: str
    execution_uid: Uid
    has_callback: bool
    success: bool = True


class EventWire(msgspec.Struct, frozen=True, kw_only=True):
    """A published event, and how many agents it goes to."""

    uid: Uid
    event: str
    executions: int


def agent_wire(
    agent: Agent, *, secret: str | None = None, stats: dict[ExecutionStatus, int] | None = None
) -> AgentWire:
    return AgentWire(
        uid=uuid_of(agent.id),
        name=agent.name,
        description=agent.description,
        events=agent.events,
        callback_url=agent.callback_url,
        secret=UNSET if secret is None else secret,
        is_active=agent.active,
        project=agent.project,
        task_types=agent.task_types,
        execution_stats=UNSET if stats is None else {str(status): count for status, count in stats.items()},
        created_at=time_wire(agent.created_at),
        updated_at=time_wire(agent.updated_at),
        worker=agent.worker_id,
        poll_lease_seconds=agent.poll_lease_seconds,
        inactive_reason=agent.inactive_reason,
    )


def execution_wire(execution: Execution) -> ExecutionWire:
    payload = payload_wire(execution.event, execution.payload)
    return ExecutionWire(
        uid=uuid_of(execution.id),
        registration=uuid_of(execution.agent_id),
        event_type=wire_name(execution.event.type),
        task=text_of(payload, "task_uid"),
        result=text_of(payload, "result_uid"),
        status=execution.status,
        action=execution.action,
        event_payload=msgspec.Raw(msgspec.json.encode(payload)),
        response_payload=execution.response,
        error_message=execution.error,
        started_at=time_or_none(execution.started_at),
        completed_at=time_or_none(execution.completed_at),
        created_at=time_wire(execution.created_at),
        updated_at=time_wire(execution.updated_at),
        decided_by=execution.decided_by,
        leased_until=time_or_none(execution.leased_until),
        review=None if execution.review is None else _review_wire(execution.review),
    )


def _review_wire(review: Review) -> ReviewWire:
    return ReviewWire(
        action=review.action,
        reason=review.reason,
        decided_by=review.by,
        decided_at=time_wire(review.at),
    )
