"""The schemas of executions and decisions."""

from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from runwright.agents.model import (
    LONGEST_LEASE_SECONDS,
    LONGEST_REASON,
    METADATA_LIMIT_BYTES,
    Action,
    Decision,
    Execution,
    ExecutionStatus,
)
from runwright.core.errors import InvalidError
from runwright.core.ids import uuid_of
from runwright.http.avala.event_names import event_payload, text_of, wire_name
from runwright.http.avala.fields import JsonObject, Time, Uid, is_uuid, object_of_at_most, text_of_at_most
from runwright.http.avala.requests import PageQuery, QueryReader
from runwright.http.fields import format_time, to_out
from runwright.http.validation import Validator

_NULL: Final = Raw(b"null")

Reason = Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_REASON})]
Metadata = Annotated[Raw, Meta(description="At most 64 KB.", extra_json_schema={"type": ["object", "null"]})]
Seconds = Annotated[
    int,
    Meta(
        description=f"Ours: lease the oldest pending executions for 1 to {LONGEST_LEASE_SECONDS} seconds;"
        " they are `running`, and no other poller gets them meanwhile. Needs `tenant-member`.",
        extra_json_schema={"minimum": 1, "maximum": LONGEST_LEASE_SECONDS},
    ),
]


class ExecutionQuery(PageQuery, frozen=True, kw_only=True):
    """Which executions of all agents."""

    status: ExecutionStatus | UnsetType = UNSET
    action: Action | UnsetType = UNSET


class AgentExecutionQuery(ExecutionQuery, frozen=True, kw_only=True):
    """Which executions of an agent, and whether to lease them."""

    claim: Seconds | UnsetType = UNSET


class ActionIn(msgspec.Struct, kw_only=True):
    """An agent's decision."""

    openapi_name: ClassVar[str] = "ActionBody"

    execution: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    action: Action
    reason: Reason | None = None
    metadata: Metadata = msgspec.field(default_factory=lambda: _NULL)


class DecisionIn(msgspec.Struct, kw_only=True):
    """A person's decision about a flagged execution."""

    openapi_name: ClassVar[str] = "DecisionBody"

    action: Literal["approve", "reject", "skip"]
    reason: Reason | None = None
    metadata: Metadata = msgspec.field(default_factory=lambda: _NULL)


class ExecutionQueryReader(QueryReader[ExecutionQuery]):
    """Reads which executions to list."""

    def further_fields(self, given: dict[str, str]) -> dict[str, object]:
        return {
            "status": _choice(given, "status", ExecutionStatus),
            "action": _choice(given, "action", Action),
        }


class AgentExecutionQueryReader(QueryReader[AgentExecutionQuery]):
    """Reads which executions of an agent to list, or to lease."""

    def further_fields(self, given: dict[str, str]) -> dict[str, object]:
        if "claim" not in given:
            return {
                "status": _choice(given, "status", ExecutionStatus),
                "action": _choice(given, "action", Action),
            }
        claim = _claim_seconds(given["claim"])
        if given.get("status", ExecutionStatus.PENDING) != ExecutionStatus.PENDING:
            raise InvalidError({"claim": ["Only pending executions can be claimed."]})
        return {"claim": claim, "status": ExecutionStatus.PENDING}


def _claim_seconds(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LONGEST_LEASE_SECONDS:
        return int(text)
    raise InvalidError({"claim": [f"Must be a number of seconds from 1 to {LONGEST_LEASE_SECONDS}."]})


def _choice(
    given: dict[str, str], name: str, choices: type[ExecutionStatus | Action]
) -> ExecutionStatus | Action | UnsetType:
    text = given.get(name)
    if text is None:
        return UNSET
    if text not in list(choices):
        message = f"Select a valid choice. {text[:50]} is not one of the available choices."
        raise InvalidError({name: [message]})
    return choices(text)


_RULES: Final = {
    "reason": text_of_at_most(LONGEST_REASON),
    "metadata": object_of_at_most(METADATA_LIMIT_BYTES, nullable=True),
}
ACTION: Final = Validator(ActionIn, {**_RULES, "execution": is_uuid}, lenient=True)
DECISION: Final = Validator(DecisionIn, _RULES, lenient=True)
LIST_EXECUTIONS: Final = ExecutionQueryReader(ExecutionQuery)
LIST_AGENT_EXECUTIONS: Final = AgentExecutionQueryReader(AgentExecutionQuery)


class ReviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision about a flagged execution."""

    action: Action
    reason: str | None
    decided_by: str
    decided_at: Time


class ExecutionOut(msgspec.Struct, frozen=True, kw_only=True):
    """One event handed to one agent."""

    uid: Uid
    registration: Annotated[Uid, Meta(description="The agent.")]
    event_type: str
    task: str | None
    result: str | None
    status: ExecutionStatus
    action: Annotated[
        Action | None,
        Meta(description="The action in force: the person's if there is a review, else the agent's."),
    ]
    event_payload: JsonObject
    response_payload: Annotated[
        msgspec.Raw | None,
        Meta(
            description="The agent's answer: `action`, `reason`, `metadata`.",
            extra_json_schema={"anyOf": [{"type": "object"}, {"type": "null"}]},
        ),
    ]
    error_message: str | None
    started_at: Time | None
    completed_at: Time | None
    created_at: Time
    updated_at: Time
    decided_by: Annotated[str | None, Meta(description="Ours: who decided.")]
    leased_until: Annotated[Time | None, Meta(description="Ours: the end of a poller's lease.")]
    review: Annotated[
        ReviewOut | None, Meta(description="Ours: a person's decision about a flagged execution.")
    ]


class ActionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A decision was recorded."""

    openapi_name: ClassVar[str] = "Recorded"

    detail: str
    execution_uid: Uid
    action: Action


def decision_of(body: ActionIn | DecisionIn) -> Decision:
    metadata = msgspec.json.decode(body.metadata, type=dict[str, Any] | None)
    return Decision(action=Action(body.action), reason=body.reason or None, metadata=metadata)


def execution_out(execution: Execution) -> ExecutionOut:
    payload = event_payload(execution.event, execution.payload)
    review = execution.review
    return to_out(
        ExecutionOut,
        execution,
        uid=uuid_of(execution.id),
        registration=uuid_of(execution.agent_id),
        event_type=wire_name(execution.event.type),
        task=text_of(payload, "task_uid"),
        result=text_of(payload, "result_uid"),
        event_payload=msgspec.Raw(msgspec.json.encode(payload)),
        response_payload=execution.response,
        error_message=execution.error,
        review=review and to_out(ReviewOut, review, decided_by=review.by, decided_at=format_time(review.at)),
    )
