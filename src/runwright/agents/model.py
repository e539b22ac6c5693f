"""Agents, executions and decisions.

States of an execution:

```
            leased or called                    decided
  pending ───────────────────────▶ running ───────────────▶ completed
     │  ◀── lease expired, call failed │
     └───────────── either ────────────┴──▶ failed | timed_out
```

A decision is accepted in either open state, and the first one stands: any later one is refused. Only a
`flag` may be reviewed, once, by a person; the agent's own answer is kept beside the review.
"""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.core.errors import ConflictError
from runwright.core.ids import AgentId, ExecutionId
from runwright.core.json_text import count_containers, is_json
from runwright.events.model import Event
from runwright.outbox.queue import OutboxClaim
from runwright.secrets.model import EncryptedValue

DECISION_WINDOW: Final = timedelta(minutes=10)
"""An execution that has no decision by then times out."""

AGENTS_PER_TENANT: Final = 20_000
LONGEST_REASON: Final = 2048
METADATA_LIMIT_BYTES: Final = 64 * 1024
LONGEST_LEASE_SECONDS: Final = 600
TEST_EVENT: Final = "agent.test"
ACTION_EVENT: Final = "agent.action"


class ExecutionStatus(StrEnum):
    """The state of an execution."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Action(StrEnum):
    """What an agent can decide."""

    APPROVE = "approve"
    REJECT = "reject"
    FLAG = "flag"
    SKIP = "skip"


class DecidedError(ConflictError):
    """The execution has ended: it was decided, failed or timed out."""

    code = "decided"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription to events that answers with an action."""

    id: AgentId
    tenant_id: str
    name: str
    description: str = ""
    style: str
    events: list[str] = []
    """The names of the dialect."""
    patterns: list[str] = []
    """The same as patterns of event types."""
    callback_url: str | None = None
    worker_id: str | None = None
    active: bool = True
    inactive_reason: str | None = None
    project: str | None = None
    task_types: list[str] = []
    poll_lease_seconds: int | None = None
    created_by: str
    created_at: datetime
    updated_at: datetime


class AgentFields(msgspec.Struct, frozen=True, kw_only=True):
    """Validated fields of an agent. UNSET: unchanged, or the default of a new one."""

    description: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    patterns: list[str] | UnsetType = UNSET
    """Comes with `events`."""
    callback_url: str | None | UnsetType = UNSET
    worker_id: str | None | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    project: str | None | UnsetType = UNSET
    task_types: list[str] | UnsetType = UNSET
    poll_lease_seconds: int | None | UnsetType = UNSET
    name: str | UnsetType = UNSET
    """Of an existing agent; a new one is registered under its name."""

    def given(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: v for name in self.__struct_fields__ if (v := getattr(self, name)) is not UNSET}


class AgentCreate(msgspec.Struct, frozen=True, kw_only=True):
    """An agent to register: created if the tenant has none of this name, else changed."""

    name: str
    style: str
    fields: AgentFields
    secret: str | None = None
    """Of a new one; generated if None."""


class AgentRegistration(msgspec.Struct, frozen=True):
    """An agent after its registration; `secret` only if it is new."""

    agent: Agent
    created: bool
    secret: str | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A validated decision of an agent or a person."""

    action: Action
    reason: str | None = None
    metadata: dict[str, Any] | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision about a flagged execution."""

    action: Action
    reason: str | None
    by: str
    at: datetime


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One event handed to one agent."""

    id: ExecutionId
    tenant_id: str
    agent_id: str
    event: Event
    payload: msgspec.Raw
    """A JSON object: the published payload, or the facts of an event of our own."""
    status: ExecutionStatus
    action: Action | None
    """The action in force: the reviewer's if there is a review, else the agent's."""
    response: msgspec.Raw | None
    """The agent's answer: an object with action, reason and metadata."""
    decided_by: str | None
    review: Review | None
    error: str | None
    leased_until: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class AgentCall(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is claimed to be handed to its agent."""

    claim: OutboxClaim
    execution: Execution
    style: str
    """The name of the callback's format."""
    callback_url: str | None
    worker_id: str | None
    secret: EncryptedValue | None
    """None: it was lost with the key that encrypted it."""


class CallOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a call: a decision, an error, or neither: an acknowledgement."""

    decision: Decision | None = None
    error: str | None = None
    retry_at: datetime | None = None
    """When to call again after an error; None: never."""
    gone: bool = False
    note: str | None = None
    """What could not be read of an acknowledgement."""


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions to list."""

    agent_id: str | None = None
    status: ExecutionStatus | None = None
    action: Action | None = None


class EventCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A validated event to publish."""

    type: str
    payload: msgspec.Raw
    """A JSON object."""
    project: str | None = None
    task_type: str | None = None
    idempotency_key: str | None = None


class PublishResult(msgspec.Struct, frozen=True):
    """A published event, and the number of agents that get it."""

    event: Event
    replayed: bool
    executions: int


_ACTIONS: Final = frozenset(Action)
_NULL: Final = msgspec.Raw(b"null")
_ESCAPE_BYTES: Final = 6
"""What a character may take in JSON, as `\\u0041`, that takes one byte when it is encoded again."""


class _Answer(msgspec.Struct, frozen=True):
    """The parts of an answer; of what else it may have no objects are made."""

    action: msgspec.Raw = _NULL
    reason: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL


def decision_of(text: bytes | msgspec.Raw) -> Decision | None:
    """Return the decision in an answer; None where it has none.

    A reason that is too long is truncated; metadata that are no object, or too large, are left out.
    """
    try:
        answer = msgspec.json.decode(text, type=_Answer)
        action, reason = _text(answer.action), _text(answer.reason)
        if action not in _ACTIONS or not is_json(bytes(text)):
            return None
        metadata = _small_object(answer.metadata)
    except (ValueError, RecursionError):  # a DecodeError is a ValueError
        return None
    return Decision(
        action=Action(action),
        reason=None if reason is None else reason[:LONGEST_REASON],
        metadata=metadata,
    )


def without_mark(text: bytes) -> bytes:
    """Return JSON text in UTF-8, without a byte order mark."""
    encoding = json.detect_encoding(text)
    try:
        return text if encoding == "utf-8" else text.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError:
        return text


def answer_problem(text: bytes) -> str | None:
    """Return why an answer that seems to decide has no decision; None for a plain acknowledgement."""
    start = text.lstrip()[:1]
    if start not in {b"{", b"[", b'"'}:
        return None
    expected = f"expected a JSON object with an action: {', '.join(Action)}"
    if start != b"{":
        return f"The callback's answer is a JSON {'list' if start == b'[' else 'text'}; {expected}."
    try:
        action = msgspec.json.decode(text, type=_Answer).action
    except (ValueError, RecursionError) as error:
        return f"The callback's answer cannot be read ({str(error)[:200]}); {expected}."
    if action == _NULL:
        return None
    return f"The callback's answer has the action {bytes(action)[:60].decode(errors='replace')}; {expected}."


def _text(raw: msgspec.Raw) -> str | None:
    return msgspec.json.decode(raw, type=str) if bytes(raw).startswith(b'"') else None


def _small_object(raw: msgspec.Raw) -> dict[str, Any] | None:
    """Return a JSON object; None for another value, and for one that is too large."""
    text = msgspec.json.format(bytes(raw), indent=-1)
    if (
        not text.startswith(b"{")
        or len(text) > _ESCAPE_BYTES * METADATA_LIMIT_BYTES
        or count_containers(text) > METADATA_LIMIT_BYTES // 2
    ):
        return None
    value = msgspec.json.decode(text, type=dict[str, Any])
    return value if len(msgspec.json.encode(value)) <= METADATA_LIMIT_BYTES else None
