"""What an automation is, a run of it, and an attempt of that.

Ids are opaque: whoever reads them relies on nothing but their being different.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from runwright.cron.go_durations import parse_duration
from runwright.schedules.model import DEFAULT_GRACE_SECONDS
from runwright.schedules.tick_policy import CatchUp

DEFAULT_TENANT: Final = "default"
"""Whose automations a file defines that names no tenant, and who calls without a key in development."""

WEBHOOK_EVENT: Final = "webhook"


class Kind(StrEnum):
    """What fires an automation: the clock, or an event."""

    JOB = "job"
    TRIGGER = "trigger"


class Source(StrEnum):
    """Where a definition comes from: a caller, a file, a package of others."""

    CONFIG = "config"
    PACKAGE = "package"
    DYNAMIC = "dynamic"


class RunStatus(StrEnum):
    """Where a run stands."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    DELEGATED = "delegated"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({RunStatus.DELEGATED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a failed attempt."""

    strategy: str = "none"
    max_retries: int = 0
    base_delay: str = ""


class FireLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How often an automation may fire within a rolling window."""

    max: int = 12
    window: str = "1h"

    @property
    def span(self) -> timedelta:
        """The window's length."""
        return parse_duration(self.window)


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """When a job fires, as it was written; fields of other modes are empty."""

    mode: str = ""
    expr: str = ""
    interval: str = ""
    time: str = ""


class TaskOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to do a task."""

    kind: str = ""
    ref: str = ""


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The task that a job makes instead of asking an agent."""

    title: str = ""
    description: str = ""
    network_channel: str = ""
    owner: TaskOwner | None = None


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of a definition that nothing is looked up by."""

    retry: Retry = Retry()
    schedule: ScheduleSpec | None = None
    catch_up: CatchUp = CatchUp.NONE
    misfire_grace_seconds: int = DEFAULT_GRACE_SECONDS
    task: TaskSpec | None = None
    filter: dict[str, str] = {}
    signature: str = "agh"
    """Whose form of signature a webhook has."""
    secret_ref: str = ""
    """What the secret of a webhook is called where it is kept."""


class Automation(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt for an agent, and what fires it."""

    id: str
    tenant_id: str
    kind: Kind
    scope: str
    workspace_id: str
    name: str
    agent_name: str
    prompt: str
    enabled: bool
    fire_limit: FireLimit
    source: Source
    configured_enabled: bool | None = None
    """What the file says, where it comes from one."""
    event: str = ""
    webhook_id: str = ""
    endpoint_slug: str = ""
    details: Details
    created_by: str
    created_at: datetime
    updated_at: datetime


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does: kept with it, so that no change of its automation touches it."""

    name: str
    agent_name: str
    prompt: str
    scope: str
    workspace_id: str
    retry: Retry = Retry()
    task: TaskSpec | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One firing of an automation."""

    id: str
    tenant_id: str
    automation_id: str
    kind: Kind
    status: RunStatus
    attempt: int = 1
    fire_id: str | None = None
    scheduled_at: datetime | None = None
    started_at: datetime
    ended_at: datetime | None = None
    session_id: str | None = None
    task_id: str | None = None
    task_run_id: str | None = None
    error: str | None = None
    delivery_error: str | None = None
    delivery_error_at: datetime | None = None
    warnings: tuple[str, ...] = ()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a run."""

    attempt: int
    status: RunStatus
    session_id: str | None
    started_at: datetime
    ended_at: datetime | None
    error: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody else is to do."""

    id: str
    tenant_id: str
    run_id: str
    task_run_id: str
    automation_id: str
    scope: str
    workspace_id: str
    spec: TaskSpec
    status: str
    created_at: datetime
    updated_at: datetime


class AutomationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which automations to list."""

    scope: str | None = None
    workspace_id: str | None = None
    source: str | None = None
    event: str | None = None


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; both bounds are inclusive."""

    automation_ids: tuple[str, ...] = ()
    """A run is of all of these: more than one, and there is none."""
    status: RunStatus | None = None
    since: datetime | None = None
    until: datetime | None = None


def hex_of(*parts: str, joined: str, length: int) -> str:
    """Return the first hex digits of a digest of texts: the same for the same."""
    return hashlib.sha256(joined.join(parts).encode()).hexdigest()[:length]


def random_id(prefix: str) -> str:
    """Return a fresh id."""
    return f"{prefix}-{secrets.token_hex(8)}"


def config_digest(tenant_id: str, scope: str, workspace_id: str, name: str) -> str:
    """Return what the ids of a definition in a file are made of; stable across restarts."""
    whose = () if tenant_id == DEFAULT_TENANT else (tenant_id,)
    return hex_of(*whose, scope, workspace_id, name, joined="\n", length=16)


def webhook_id_of(trigger_id: str) -> str:
    """Return the webhook id that a trigger has where its owner chose none."""
    return "wbh_" + hex_of(trigger_id, joined="", length=16)


def secret_ref_of(trigger_id: str) -> str:
    """Return what the secret of a trigger is called where it is kept for it."""
    return f"vault:automation/triggers/{trigger_id}/webhook-secret"


def time_text(at: datetime) -> str:
    """Return an instant by RFC 3339 in UTC, without zeros at the end of its fraction."""
    text = f"{at:%Y-%m-%dT%H:%M:%S}"
    fraction = f"{at.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
