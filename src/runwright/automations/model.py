"""Automations, their runs, and the attempts and tasks of runs.

An automation is a prompt for an agent. A schedule fires it (kind `job`), or an event (kind `trigger`).

The fields that its author writes are declared once, in `AutomationDefinition` and its subclasses.
Request bodies, responses, patches, SQL columns, the configuration file and the options of the command
line follow from these declarations: docs/decisions/0026-a-field-is-declared-once.md says where to add one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from runwright.automations.webhook_schemes import SignatureScheme, WebhookHmac
from runwright.core.ids import RunId
from runwright.cron.go_durations import parse_duration
from runwright.schedules.model import DEFAULT_GRACE_SECONDS
from runwright.schedules.tick_policy import CatchUp

WEBHOOK_EVENT: Final = "webhook"


class AutomationKind(StrEnum):
    """What fires an automation: a schedule or an event."""

    JOB = "job"
    TRIGGER = "trigger"


class AutomationScope(StrEnum):
    """Where an automation belongs."""

    GLOBAL = "global"
    WORKSPACE = "workspace"


class DefinitionSource(StrEnum):
    """Where a definition comes from: a configuration file, a package, or an API call."""

    CONFIG = "config"
    PACKAGE = "package"
    DYNAMIC = "dynamic"


class RetryStrategy(StrEnum):
    """Whether a failed attempt is repeated."""

    NONE = "none"
    BACKOFF = "backoff"


class RunStatus(StrEnum):
    """The state of a run or of an attempt."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    DELEGATED = "delegated"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({RunStatus.DELEGATED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


class TaskStatus(StrEnum):
    """The state of a task."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class RunRetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The retry policy of failed attempts."""

    strategy: Annotated[
        str, Meta(description="`none` or `backoff`.", extra_json_schema={"enum": list(RetryStrategy)})
    ]
    max_retries: int
    base_delay: Annotated[str, Meta(description="The first delay; each further one is twice as long.")]


NO_RETRY: Final = RunRetryPolicy(strategy=RetryStrategy.NONE.value, max_retries=0, base_delay="")


class FireLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How often an automation may fire within a rolling window."""

    max: int
    window: Annotated[str, Meta(examples=["1h"])]

    @property
    def span(self) -> timedelta:
        """The length of the window."""
        return parse_duration(self.window)


DEFAULT_FIRE_LIMIT: Final = FireLimit(max=12, window="1h")


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job fires; only the field of its mode is set."""

    mode: Annotated[
        str,
        Meta(description="`cron`, `every` or `at`.", extra_json_schema={"enum": ["cron", "every", "at"]}),
    ]
    expr: str = ""
    interval: str = ""
    time: str = ""


class TaskOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The assignee of a task."""

    kind: str
    ref: str

    def __post_init__(self) -> None:
        """Accept kinds in any case."""
        msgspec.structs.force_setattr(self, "kind", self.kind.lower())


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The task that a job creates instead of prompting an agent."""

    title: str = ""
    description: str = ""
    network_channel: str = ""
    owner: TaskOwner | None = None


class FieldMark(Enum):
    """Annotations of the fields of a definition."""

    COLUMN = auto()
    """The field has an SQL column of its own; the others are stored together in `details`."""
    WEBHOOK = auto()
    """Only triggers of the event `webhook` may set the field."""


class AutomationDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that jobs and triggers have in common."""

    scope: Annotated[
        str,
        FieldMark.COLUMN,
        Meta(description="`global` or `workspace`.", extra_json_schema={"enum": list(AutomationScope)}),
    ]
    workspace_id: Annotated[str, FieldMark.COLUMN, Meta(description="The workspace of that scope.")] = ""
    name: Annotated[str, FieldMark.COLUMN, Meta(description="Unique within its scope.")]
    agent_name: Annotated[
        str, FieldMark.COLUMN, Meta(description="The worker or the registered agent that is prompted.")
    ]
    prompt: Annotated[
        str,
        FieldMark.COLUMN,
        Meta(description="The agent's prompt. For a trigger: a Go `text/template` over the event."),
    ]
    enabled: Annotated[bool, FieldMark.COLUMN, Meta(description="Whether it fires.")] = True
    retry: RunRetryPolicy = NO_RETRY
    fire_limit: FireLimit | None = None
    """None: the operator's default applies at creation."""


SHORT_NAMES: Final[Mapping[str, str]] = {"agent_name": "agent", "workspace_id": "workspace"}
"""The names of fields in configuration files and on the command line, where they differ."""


class RunOverlap(StrEnum):
    """What a tick does while an earlier run of its job has not ended."""

    QUEUE = "queue"
    SKIP = "skip"
    ALLOW = "allow"


class JobFields(AutomationDefinition, frozen=True, kw_only=True):
    """The fields of a job, but for its catch-up policy, which each format writes in its own way."""

    schedule: ScheduleSpec | None
    task: TaskSpec | None = None
    overlap: Annotated[
        str,
        Meta(
            description="While an earlier run lives: `queue` the next one, `skip` it, or `allow` both.",
            extra_json_schema={"enum": list(RunOverlap)},
        ),
    ] = RunOverlap.QUEUE.value


CATCH_UP_POLICIES: Final = {
    "skip_missed": CatchUp.NONE,
    "run_once": CatchUp.LAST,
    "run_all": CatchUp.ALL,
}
"""How callers and configuration files name catch-up policies."""


class JobDefinition(JobFields, frozen=True, kw_only=True):
    """What the author of a job writes."""

    catch_up: CatchUp = CatchUp.NONE
    misfire_grace_seconds: int = DEFAULT_GRACE_SECONDS


class TriggerFields(AutomationDefinition, frozen=True, kw_only=True):
    """The fields of a trigger, but for its secret, which each format passes in its own way."""

    event: Annotated[
        str, FieldMark.COLUMN, Meta(description="The event that fires it; `webhook` for its own webhook.")
    ]
    filter: Annotated[dict[str, str], Meta(description="Paths and the values that events must have.")] = {}
    endpoint_slug: Annotated[
        str, FieldMark.COLUMN, FieldMark.WEBHOOK, Meta(description="The first part of the webhook's path.")
    ] = ""
    webhook_id: Annotated[
        str,
        FieldMark.COLUMN,
        FieldMark.WEBHOOK,
        Meta(description="The second part of the webhook's path, `wbh_…`; generated if left out."),
    ] = ""
    webhook_signature: Annotated[
        str,
        FieldMark.WEBHOOK,
        Meta(
            description="The signature scheme of deliveries: that of their sender, or `hmac`.",
            extra_json_schema={"enum": list(SignatureScheme)},
        ),
    ] = SignatureScheme.AGH.value
    webhook_hmac: Annotated[
        WebhookHmac | None,
        FieldMark.WEBHOOK,
        Meta(description="For `hmac`: how the sender signs."),
    ] = None


class TriggerDefinition(TriggerFields, frozen=True, kw_only=True):
    """What the author of a trigger writes."""

    webhook_secret_ref: str = ""
    """Where the secret of the webhook is kept."""


AnyDefinition = JobDefinition | TriggerDefinition

DEFINITIONS: Final[Mapping[AutomationKind, type[AnyDefinition]]] = {
    AutomationKind.JOB: JobDefinition,
    AutomationKind.TRIGGER: TriggerDefinition,
}


def marked(definition: type[msgspec.Struct], mark: FieldMark) -> Mapping[str, Any]:
    """Return the fields of a definition that have a mark, in order, with their defaults."""
    fields = msgspec.structs.fields(definition)
    return {one.name: one.default for one in fields if mark in getattr(one.type, "__metadata__", ())}


class Automation(msgspec.Struct, frozen=True, kw_only=True):
    """An automation of a tenant."""

    id: str
    tenant_id: str
    source: DefinitionSource
    configured_enabled: bool | None = None
    """The value of `enabled` in the configuration file, where the automation comes from one."""
    definition: AnyDefinition
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def kind(self) -> AutomationKind:
        """What fires it."""
        return AutomationKind.JOB if isinstance(self.definition, JobDefinition) else AutomationKind.TRIGGER

    @property
    def job(self) -> JobDefinition:
        """The definition of a job."""
        assert isinstance(self.definition, JobDefinition)  # noqa: S101  callers know the kind
        return self.definition

    @property
    def trigger(self) -> TriggerDefinition:
        """The definition of a trigger."""
        assert isinstance(self.definition, TriggerDefinition)  # noqa: S101  callers know the kind
        return self.definition

    @property
    def is_webhook(self) -> bool:
        """Whether webhook deliveries fire it."""
        return isinstance(self.definition, TriggerDefinition) and self.definition.event == WEBHOOK_EVENT

    @property
    def fire_limit(self) -> FireLimit:
        """The limit that applies."""
        assert self.definition.fire_limit is not None  # noqa: S101  the default was filled in at creation
        return self.definition.fire_limit


class AutomationCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A definition to create; it has not been checked yet."""

    definition: AnyDefinition
    secret: str | None = None
    """The secret of its webhook."""


class AutomationPatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a definition."""

    fields: Mapping[str, Any]
    """The new values by field name; other fields stay unchanged."""
    secret: str | None = None
    """The new secret of its webhook."""
    secret_overlap_seconds: int = 0
    """How long the previous secret stays valid."""


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does. It is stored with the run, which later changes of the automation do not affect."""

    name: str
    agent_name: str
    prompt: str
    scope: str
    workspace_id: str
    retry: RunRetryPolicy = NO_RETRY
    task: TaskSpec | None = None
    overlap: str = RunOverlap.ALLOW.value


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One firing of an automation."""

    id: RunId
    tenant_id: str
    automation_id: str
    kind: AutomationKind
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


class RunAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a run."""

    attempt: int
    status: RunStatus
    session_id: str | None
    started_at: datetime
    ended_at: datetime | None
    error: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a run has created."""

    id: str
    tenant_id: str
    run_id: str
    task_run_id: str
    automation_id: str
    scope: str
    workspace_id: str
    spec: TaskSpec
    status: TaskStatus
    created_at: datetime
    updated_at: datetime


def time_text(at: datetime) -> str:
    """Return an instant by RFC 3339 in UTC, without trailing zeros in its fraction."""
    text = f"{at:%Y-%m-%dT%H:%M:%S}"
    fraction = f"{at.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
