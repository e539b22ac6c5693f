"""What requests about automations may hold, as documents show it and as it is read."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.drafts import AutomationCreate, AutomationPatch
from runwright.automations.errors import DefinitionError
from runwright.automations.model import (
    Details,
    FireLimit,
    Kind,
    Retry,
    ScheduleSpec,
    TaskOwner,
    TaskSpec,
)
from runwright.automations.rules import quoted
from runwright.http.agh.auth import AghRequest
from runwright.http.agh.loose_json import Fields, read_json
from runwright.http.agh.shapes import POLICIES
from runwright.http.agh.wire import FireLimitWire, RetryWire, ScheduleWire, TaskSpecWire
from runwright.http.body import read_any_body
from runwright.schedules.tick_policy import CatchUp

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024

_CATCH_UPS: Final = {name: policy for policy, name in POLICIES.items()}


class SchedulerBody(msgspec.Struct, kw_only=True):
    """What becomes of fires that are late (ours)."""

    catch_up_policy: Annotated[
        str,
        Meta(description="`skip_missed`, `run_once` (the latest) or `run_all` (the latest 100)."),
    ] = "skip_missed"
    misfire_grace_seconds: Annotated[int, Meta(description="A fire later than this is missed.")] = 30


class CreateJobBody(msgspec.Struct, kw_only=True):
    """A job to create."""

    scope: Annotated[str, Meta(description="`global` or `workspace`.")]
    name: str
    schedule: ScheduleWire
    workspace_id: str | UnsetType = UNSET
    agent_name: Annotated[str, Meta(description="A worker or a registered agent.")] | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    task: TaskSpecWire | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry: RetryWire | UnsetType = UNSET
    fire_limit: FireLimitWire | UnsetType = UNSET
    scheduler: SchedulerBody | UnsetType = UNSET


class ChangeJobBody(msgspec.Struct, kw_only=True):
    """What to change; fields that are left out or null stay."""

    name: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    schedule: ScheduleWire | UnsetType = UNSET
    task: TaskSpecWire | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry: RetryWire | UnsetType = UNSET
    fire_limit: FireLimitWire | UnsetType = UNSET
    scheduler: SchedulerBody | UnsetType = UNSET


class CreateTriggerBody(msgspec.Struct, kw_only=True):
    """A trigger to create."""

    scope: Annotated[str, Meta(description="`global` or `workspace`.")]
    name: str
    agent_name: Annotated[str, Meta(description="A worker or a registered agent.")]
    prompt: Annotated[str, Meta(description="A Go `text/template` over the activation.")]
    event: Annotated[str, Meta(description="An event, or `webhook`.")]
    workspace_id: str | UnsetType = UNSET
    filter: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry: RetryWire | UnsetType = UNSET
    fire_limit: FireLimitWire | UnsetType = UNSET
    webhook_id: str | UnsetType = UNSET
    endpoint_slug: str | UnsetType = UNSET
    webhook_secret_value: str | UnsetType = UNSET
    webhook_signature: (
        Annotated[str, Meta(description="agh, github, stripe or standard (ours).")] | UnsetType
    ) = UNSET


class ChangeTriggerBody(msgspec.Struct, kw_only=True):
    """What to change; fields that are left out or null stay."""

    name: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    event: str | UnsetType = UNSET
    filter: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    retry: RetryWire | UnsetType = UNSET
    fire_limit: FireLimitWire | UnsetType = UNSET
    webhook_id: str | UnsetType = UNSET
    endpoint_slug: str | UnsetType = UNSET
    webhook_secret_value: str | UnsetType = UNSET
    webhook_secret_overlap_seconds: (
        Annotated[int, Meta(description="How long the old secret is good beside the new one (ours).")]
        | UnsetType
    ) = UNSET
    webhook_signature: str | UnsetType = UNSET


class PublishBody(msgspec.Struct, kw_only=True):
    """An event to publish."""

    event: Annotated[str, Meta(examples=["session.stopped"])]
    workspace_id: Annotated[str, Meta(description="For which workspace; none: it is global.")] | UnsetType = (
        UNSET
    )
    data: dict[str, Any] | UnsetType = UNSET
    idempotency_key: str | UnsetType = UNSET


class ChangeTaskBody(msgspec.Struct, kw_only=True):
    """How far a task is, or whose."""

    status: Annotated[str, Meta(description="open, in_progress, done or cancelled.")] | UnsetType = UNSET
    owner: dict[str, str] | UnsetType = UNSET


async def read_fields(request: AghRequest, what: str) -> Fields:
    """Return the fields of a request's body."""
    headers = dict(request.scope["headers"])
    body = await read_any_body(headers, request.receive, request.app.state.edge, limit_bytes=BODY_LIMIT_BYTES)
    return read_json(body, what)


def read_draft(fields: Fields, kind: Kind) -> AutomationCreate:
    """Return the definition that a body asks for."""
    job = kind is Kind.JOB
    details = Details(
        retry=_retry(fields) or Retry(),
        schedule=_schedule(fields) if job else None,
        task=_task(fields) if job else None,
        catch_up=_catch_up(fields) if job else CatchUp.NONE,
        misfire_grace_seconds=_grace(fields, Details().misfire_grace_seconds),
        filter={} if job else fields.texts("filter"),
        signature="agh" if job else fields.text("webhook_signature") or "agh",
    )
    return AutomationCreate(
        kind=kind,
        scope=fields.text("scope"),
        workspace_id=fields.text("workspace_id"),
        name=fields.text("name"),
        agent_name=fields.text("agent_name"),
        prompt=fields.text("prompt"),
        enabled=fields.flag("enabled", default=True),
        fire_limit=_limit(fields),
        event="" if job else fields.text("event"),
        webhook_id="" if job else fields.text("webhook_id"),
        endpoint_slug="" if job else fields.text("endpoint_slug"),
        secret=fields.raw_text("webhook_secret_value")
        if "webhook_secret_value" in fields and not job
        else None,
        details=details,
    )


_TEXTS: Final = {
    Kind.JOB: ("name", "agent_name", "workspace_id", "prompt"),
    Kind.TRIGGER: (
        *("name", "agent_name", "workspace_id", "prompt"),
        *("event", "webhook_id", "endpoint_slug"),
    ),
}


def read_changes(fields: Fields, kind: Kind) -> AutomationPatch:
    """Return what a body wants changed; DefinitionError where it is nothing."""
    values: dict[str, object] = {name: fields.text(name) for name in _TEXTS[kind] if name in fields}
    if "enabled" in fields:
        values["enabled"] = fields.flag("enabled", default=True)
    values["retry"], values["fire_limit"] = _retry(fields), _limit(fields)
    if kind is Kind.JOB:
        values["schedule"], values["task"] = _schedule(fields), _task(fields)
        scheduler = fields.object("scheduler")
        if scheduler is not None and "catch_up_policy" in scheduler:
            values["catch_up"] = _catch_up(fields)
        if scheduler is not None and "misfire_grace_seconds" in scheduler:
            values["misfire_grace_seconds"] = _grace(fields, 0)
    else:
        if "filter" in fields:
            values["filter"] = fields.texts("filter")
        if "webhook_signature" in fields:
            values["signature"] = fields.text("webhook_signature") or "agh"
        if "webhook_secret_value" in fields:
            values["secret"] = fields.raw_text("webhook_secret_value")
        if "webhook_secret_overlap_seconds" in fields and "webhook_secret_value" in fields:
            values["old_secret_seconds"] = fields.number("webhook_secret_overlap_seconds")
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        raise DefinitionError(f"automation {kind.value} update must include at least one field")
    return AutomationPatch(**values)  # type: ignore[arg-type]


def _retry(fields: Fields) -> Retry | None:
    given = fields.object("retry")
    if given is None:
        return None
    return Retry(
        strategy=given.text("strategy"),
        max_retries=given.number("max_retries"),
        base_delay=given.text("base_delay"),
    )


def _limit(fields: Fields) -> FireLimit | None:
    given = fields.object("fire_limit")
    return None if given is None else FireLimit(max=given.number("max"), window=given.text("window"))


def _schedule(fields: Fields) -> ScheduleSpec | None:
    given = fields.object("schedule")
    if given is None:
        return None
    return ScheduleSpec(**{name: given.text(name) for name in ScheduleSpec.__struct_fields__})


def _task(fields: Fields) -> TaskSpec | None:
    given = fields.object("task")
    if given is None:
        return None
    return TaskSpec(
        title=given.text("title"),
        description=given.text("description"),
        network_channel=given.text("network_channel"),
        owner=read_owner(given),
    )


def read_owner(fields: Fields) -> TaskOwner | None:
    owner = fields.object("owner")
    return None if owner is None else TaskOwner(kind=owner.text("kind").lower(), ref=owner.text("ref"))


def _catch_up(fields: Fields) -> CatchUp:
    scheduler = fields.object("scheduler")
    name = "" if scheduler is None else scheduler.text("catch_up_policy")
    if name and name not in _CATCH_UPS:
        names = ", ".join(quoted(known) for known in _CATCH_UPS)
        raise DefinitionError(f"job.scheduler.catch_up_policy must be one of {names}: {quoted(name)}")
    return _CATCH_UPS.get(name, CatchUp.NONE)


def _grace(fields: Fields, default: int) -> int:
    scheduler = fields.object("scheduler")
    return default if scheduler is None else scheduler.number("misfire_grace_seconds") or default
