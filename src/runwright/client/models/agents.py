"""Agents, their executions, and what they decide."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

import msgspec

from runwright.client.models.base import Info

AgentAction = Literal["approve", "reject", "flag", "skip"]


class AgentInfo(Info, frozen=True, kw_only=True):
    """An agent; `secret` of a new one only."""

    uid: str
    name: str
    description: str = ""
    events: list[str]
    callback_url: str | None = None
    is_active: bool
    project: str | None = None
    task_types: list[str] = msgspec.field(default_factory=list)
    worker: str | None = None
    poll_lease_seconds: int | None = None
    inactive_reason: str | None = None
    execution_stats: dict[str, int] = msgspec.field(default_factory=dict)
    created_at: datetime
    updated_at: datetime
    secret: str | None = None

    def __repr__(self) -> str:
        return f"AgentInfo(uid={self.uid!r}, name={self.name!r}, events={self.events!r})"


class AgentTestInfo(Info, frozen=True, kw_only=True):
    """A test event was queued."""

    detail: str
    execution_uid: str
    has_callback: bool


class ReviewInfo(Info, frozen=True, kw_only=True):
    """A person's decision about a flagged execution."""

    action: str
    reason: str | None = None
    decided_by: str
    decided_at: datetime


class ExecutionInfo(Info, frozen=True, kw_only=True):
    """One event handed to one agent."""

    uid: str
    registration: str
    event_type: str
    task: str | None = None
    result: str | None = None
    status: str
    action: str | None = None
    event_payload: dict[str, Any] = msgspec.field(default_factory=dict)
    response_payload: dict[str, Any] | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    decided_by: str | None = None
    leased_until: datetime | None = None
    review: ReviewInfo | None = None


class PublishedInfo(Info, frozen=True, kw_only=True):
    """A published event, and how many agents get it."""

    uid: str
    event: str
    executions: int


class AgentOptions(TypedDict, total=False):
    """The fields of an agent that have a default."""

    description: str
    callback_url: str | None
    is_active: bool
    project: str | None
    task_types: Sequence[str]
    worker: str | None
    poll_lease_seconds: int | None


class AgentUpdate(AgentOptions, total=False):
    """The fields of an agent that can be changed."""

    name: str
    events: Sequence[str]
