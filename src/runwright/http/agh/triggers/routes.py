"""The routes and schemas of triggers."""

import hashlib
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.definitions import AutomationView
from runwright.automations.model import (
    AutomationCreate,
    AutomationKind,
    AutomationPatch,
    FireLimit,
    RunRetryPolicy,
    TriggerDefinition,
    TriggerFields,
)
from runwright.core.struct_fields import patch_type
from runwright.http.agh.auth import READS, WRITES
from runwright.http.agh.definitions import (
    change_definition,
    delete_definition,
    get_definition,
    list_definitions,
    list_runs_of,
)
from runwright.http.agh.errors import AGH
from runwright.http.agh.fields import NextCursor, Time, copied_fields, given_fields, shown_fields
from runwright.http.agh.jobs.schemas import JobQuery
from runwright.http.agh.loose_json import VERBATIM
from runwright.http.agh.requests import read_body, read_query
from runwright.http.agh.runs.routes import RunList, RunQuery
from runwright.http.request import Request
from runwright.http.routing import Routes

_SECRET: Final = "webhook_secret_value"  # noqa: S105  a name, not a secret
_OVERLAP: Final = "webhook_secret_overlap_seconds"


class TriggerIn(TriggerFields, frozen=True, kw_only=True):
    """A trigger to create."""

    openapi_name: ClassVar[str] = "CreateTriggerBody"

    webhook_secret_value: (
        Annotated[str, VERBATIM, Meta(description="The secret that deliveries are signed with.")] | UnsetType
    ) = UNSET


TriggerPatch: Final = patch_type(
    "ChangeTriggerBody",
    TriggerIn,
    "Changes of a trigger. Fields that are left out or null stay unchanged.",
    without=("scope",),
    added={
        _OVERLAP: Annotated[
            int, Meta(description="How long the previous secret stays valid (a Runwright extension).")
        ]
    },
)


class TriggerQuery(JobQuery, frozen=True, kw_only=True):
    """Which triggers to list."""

    event: str | UnsetType = UNSET


class TriggerOut(TriggerFields, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that an event or a webhook fires."""

    id: str
    enabled: bool
    retry: RunRetryPolicy
    fire_limit: FireLimit
    source: str
    webhook_secret_present: bool
    webhook_secret_hash: Annotated[str, Meta(description="Of the secret's name, not of the secret.")] = ""
    created_at: Time
    updated_at: Time


class TriggerEnvelope(msgspec.Struct, frozen=True):
    """One trigger."""

    trigger: TriggerOut


class TriggerList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Triggers by name."""

    triggers: list[TriggerOut]
    next_cursor: NextCursor = ""


def trigger_create(body: TriggerIn) -> AutomationCreate:
    """Return the definition of a body."""
    fields = given_fields(body, TriggerDefinition)
    secret = fields.pop(_SECRET, None)
    return AutomationCreate(definition=TriggerDefinition(**fields), secret=secret)


def trigger_patch(body: msgspec.Struct) -> AutomationPatch:
    """Return the changes of a body."""
    fields = given_fields(body, TriggerDefinition)
    secret, overlap = fields.pop(_SECRET, None), fields.pop(_OVERLAP, 0)
    return AutomationPatch(
        fields=fields, secret=secret, secret_overlap_seconds=0 if secret is None else overlap
    )


def trigger_out(view: AutomationView) -> TriggerOut:
    """Return a trigger as the API shows it."""
    one, ref = view.automation, view.automation.trigger.webhook_secret_ref
    return TriggerOut(
        **copied_fields(one.trigger, TriggerOut),
        webhook_secret_present=view.has_secret,
        webhook_secret_hash=f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}"
        if one.is_webhook and ref
        else "",
        **shown_fields(one, TriggerOut),
    )


ROUTES: Final = Routes(AGH, "/api/automation/triggers", tag="Triggers")


@ROUTES.add("GET", "", READS, "List automation triggers", query=TriggerQuery)
async def list_automation_triggers(request: Request) -> TriggerList:
    """By name."""
    query = read_query(request, TriggerQuery)
    rows, cursor = await list_definitions(request, AutomationKind.TRIGGER, query)
    return TriggerList(triggers=[trigger_out(one) for one in rows], next_cursor=cursor)


@ROUTES.add(
    "POST",
    "",
    WRITES,
    "Create an automation trigger",
    body=TriggerIn,
    errors=(409,),
    example={
        "scope": "global",
        "name": "Failed jobs",
        "agent_name": "triage",
        "event": "ava.job.failed",
        "prompt": "Why did {{ .Data.job_id }} fail?",
    },
)
async def create_automation_trigger(request: Request) -> TriggerEnvelope:
    """The agent need not exist before the trigger fires."""
    body = await read_body(request, TriggerIn, "automation trigger create")
    definitions = request.services.automations.definitions
    return TriggerEnvelope(trigger_out(await definitions.create(request.caller, trigger_create(body))))


@ROUTES.add("GET", "/{trigger_id}", READS, "Get one automation trigger", errors=(404,))
async def get_automation_trigger(request: Request) -> TriggerEnvelope:
    return TriggerEnvelope(
        trigger_out(await get_definition(request, AutomationKind.TRIGGER, request.params["trigger_id"]))
    )


@ROUTES.add(
    "PATCH",
    "/{trigger_id}",
    WRITES,
    "Update one automation trigger",
    body=TriggerPatch,
    errors=(404, 409),
    example={"enabled": False},
)
async def update_automation_trigger(request: Request) -> TriggerEnvelope:
    """Objects are replaced as a whole. Of a trigger from a file only `enabled` can be changed."""
    body = await read_body(request, TriggerPatch, "automation trigger update")
    view = await change_definition(
        request, AutomationKind.TRIGGER, request.params["trigger_id"], trigger_patch(body)
    )
    return TriggerEnvelope(trigger_out(view))


@ROUTES.add("DELETE", "/{trigger_id}", WRITES, "Delete one automation trigger", errors=(404, 409))
async def delete_automation_trigger(request: Request) -> None:
    """Its runs are kept."""
    await delete_definition(request, AutomationKind.TRIGGER, request.params["trigger_id"])


@ROUTES.add(
    "GET",
    "/{trigger_id}/runs",
    READS,
    "List run history for one automation trigger",
    query=RunQuery,
    errors=(404,),
)
async def list_automation_trigger_runs(request: Request) -> RunList:
    """Newest first."""
    return await list_runs_of(request, AutomationKind.TRIGGER, request.params["trigger_id"])
