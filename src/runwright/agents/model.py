"""Agents, executions and decisions.

States of an execution:

```
            told, leased, or called             decided
  pending ───────────────────────▶ running ───────────────▶ completed
     │  ◀── lease over, call failed ── │
     └───────────── either ────────────┴──▶ failed | timed_out
```

A decision is taken from either open state, and the first one stands: whatever comes after it is
refused. Only a `flag` may be decided over, once, by a person; the agent's answer stays beside that.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.core.errors import ConflictError
from runwright.events.model import Event

DECISION_WINDOW: Final = timedelta(minutes=10)
"""An execution that nobody decided by then times out."""

AGENTS_PER_TENANT: Final = 20_000
LONGEST_REASON: Final = 2048
METADATA_LIMIT_BYTES: Final = 64 * 1024
LONGEST_LEASE_SECONDS: Final = 600
TEST_EVENT: Final = "agent.test"
ACTION_EVENT: Final = "agent.action"


class ExecutionStatus(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class Action(StrEnum):
    """What an agent may decide."""

    APPROVE = "approve"
    REJECT = "reject"
    FLAG = "flag"
    SKIP = "skip"


class DecidedError(ConflictError):
    """The execution is over: somebody decided it, or it failed or timed out."""

    code = "decided"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription to events that answers with an action."""

    id: str
    tenant_id: str
    name: str
    description: str
    style: str
    events: list[str]
    """As the dialect names them."""
    patterns: list[str]
    """What they mean to the core."""
    callback_url: str | None
    worker_id: str | None
    active: bool
    inactive_reason: str | None
    project: str | None
    task_types: list[str]
    poll_lease_seconds: int | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class AgentFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of an agent; already validated. UNSET: as it is, or the default of a new one."""

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
    """Of an agent that is there; a new one is registered by its name."""

    def given(self) -> dict[str, Any]:
        """Return the fields that were said."""
        return {name: v for name in self.__struct_fields__ if (v := getattr(self, name)) is not UNSET}


class NewAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent to register: made where there is none of this name, else changed."""

    name: str
    style: str
    fields: AgentFields
    secret: str | None = None
    """Of a new one; made here where there is none."""


class Registered(msgspec.Struct, frozen=True):
    """An agent after its registration; `secret` where it is new, and never again."""

    agent: Agent
    created: bool
    secret: str | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent or a person decided; already validated."""

    action: Action
    reason: str | None = None
    metadata: dict[str, Any] | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What a person made of a flag."""

    action: Action
    reason: str | None
    by: str
    at: datetime


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One event handed to one agent."""

    id: str
    tenant_id: str
    agent_id: str
    event: Event
    payload: msgspec.Raw
    """A JSON object: what was published, or what the core knows of its own fact."""
    status: ExecutionStatus
    action: Action | None
    """What stands: the agent's, or the person's who decided over it."""
    response: msgspec.Raw | None
    """What the agent said: an object with action, reason and metadata."""
    decided_by: str | None
    review: Review | None
    error: str | None
    leased_until: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions to list."""

    agent_id: str | None = None
    status: ExecutionStatus | None = None
    action: Action | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to publish; already validated."""

    type: str
    payload: msgspec.Raw
    """A JSON object."""
    project: str | None = None
    task_type: str | None = None
    idempotency_key: str | None = None


class Announced(msgspec.Struct, frozen=True):
    """A published event, and how many agents get it."""

    event: Event
    replayed: bool
    executions: int
