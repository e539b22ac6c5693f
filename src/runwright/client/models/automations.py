"""Automations: jobs (prompts on a schedule), triggers (prompts for events), their runs and tasks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict

import msgspec

from runwright.client.models.base import Info


class AutomationInfo(Info, frozen=True, kw_only=True):
    """What jobs and triggers have in common."""

    id: str
    scope: str
    workspace_id: str = ""
    name: str
    agent_name: str = ""
    prompt: str = ""
    enabled: bool
    retry: dict[str, Any] = msgspec.field(default_factory=dict)
    fire_limit: dict[str, Any] = msgspec.field(default_factory=dict)
    source: str
    created_at: datetime
    updated_at: datetime


class AutomationJobInfo(AutomationInfo, frozen=True, kw_only=True):
    """A prompt that a schedule fires."""

    schedule: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    next_run: datetime | None = None
    scheduler: dict[str, Any] | None = None


class AutomationTriggerInfo(AutomationInfo, frozen=True, kw_only=True):
    """A prompt that an event or a webhook fires."""

    event: str
    filter: dict[str, str] = msgspec.field(default_factory=dict)
    endpoint_slug: str = ""
    webhook_id: str = ""
    webhook_signature: str = ""
    webhook_secret_present: bool = False
    webhook_secret_hash: str = ""

    @property
    def webhook_path(self) -> str | None:
        """The path that deliveries are sent to; None where events fire it."""
        if not self.endpoint_slug or not self.webhook_id:
            return None
        scope = f"workspaces/{self.workspace_id}" if self.scope == "workspace" else "global"
        return f"/api/webhooks/{scope}/{self.endpoint_slug}--{self.webhook_id}"


class AutomationRunInfo(Info, frozen=True, kw_only=True):
    """One firing."""

    id: str
    job_id: str = ""
    trigger_id: str = ""
    session_id: str = ""
    task_id: str = ""
    task_run_id: str = ""
    status: str
    attempt: int
    fire_id: str = ""
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    delivery_error: str = ""
    delivery_error_at: datetime | None = None
    warnings: list[str] = msgspec.field(default_factory=list)


class AutomationAttemptInfo(Info, frozen=True, kw_only=True):
    """One attempt of a run."""

    attempt: int
    status: str
    session_id: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    error: str = ""


class AutomationTaskInfo(Info, frozen=True, kw_only=True):
    """A task that a run has created."""

    id: str
    run_id: str
    task_run_id: str
    job_id: str
    scope: str
    workspace_id: str = ""
    title: str
    description: str = ""
    network_channel: str = ""
    owner: dict[str, str] | None = None
    status: str
    created_at: datetime
    updated_at: datetime


class AutomationEventInfo(Info, frozen=True, kw_only=True):
    """An event that was published."""

    id: str
    event: str
    created_at: datetime
    replayed: bool = False


class AutomationListing(TypedDict, total=False):
    """Which jobs or triggers to list."""

    scope: Literal["global", "workspace"]
    workspace_id: str
    source: str


class RunListing(TypedDict, total=False):
    """Which runs to list; times by RFC 3339."""

    status: str
    since: datetime | str
    until: datetime | str


class AutomationOptions(TypedDict, total=False):
    """The fields that jobs and triggers have in common, but for scope and name."""

    workspace_id: str
    agent_name: str
    prompt: str
    enabled: bool
    retry: Mapping[str, object]
    fire_limit: Mapping[str, object]


class AutomationJobOptions(AutomationOptions, total=False):
    """The fields of a job that have a default."""

    task: Mapping[str, object]
    overlap: str
    scheduler: Mapping[str, object]


class AutomationJobUpdate(AutomationJobOptions, total=False):
    """The fields of a job that can be changed."""

    name: str
    schedule: Mapping[str, object]


class AutomationTriggerOptions(AutomationOptions, total=False):
    """The fields of a trigger that have a default."""

    filter: Mapping[str, str]
    endpoint_slug: str
    webhook_id: str
    webhook_signature: str
    webhook_hmac: Mapping[str, object]
    webhook_secret_value: str


class AutomationTriggerUpdate(AutomationTriggerOptions, total=False):
    """The fields of a trigger that can be changed."""

    name: str
    event: str
    webhook_secret_overlap_seconds: int
