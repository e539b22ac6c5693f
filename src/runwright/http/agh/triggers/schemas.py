"""The schemas of triggers."""

import hashlib
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.automations.definitions import AutomationView
from runwright.automations.model import (
    AutomationCreate,
    AutomationPatch,
    DefinitionSource,
    FireLimit,
    RunRetryPolicy,
    TriggerDefinition,
    TriggerFields,
)
from runwright.core.struct_fields import patch_type
from runwright.http.agh.fields import NextCursor, Time, copied_fields, given_fields, shown_fields
from runwright.http.agh.jobs.schemas import JobQuery
from runwright.http.agh.loose_json import VERBATIM
from runwright.http.trigger_events import event_warning

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
    source: Annotated[str, Meta(extra_json_schema={"enum": list(DefinitionSource)})]
    webhook_secret_present: bool
    webhook_secret_hash: Annotated[str, Meta(description="Of the secret's name, not of the secret.")] = ""
    warnings: Annotated[tuple[str, ...], Meta(description="Why it may never fire (an extension).")] = ()
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
    warning = event_warning(one.trigger.event)
    return TriggerOut(
        warnings=() if warning is None else (warning,),
        **copied_fields(one.trigger, TriggerOut),
        webhook_secret_present=view.has_secret,
        webhook_secret_hash=f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}"
        if one.is_webhook and ref
        else "",
        **shown_fields(one, TriggerOut),
    )
