"""The schemas of the audit log: its filters and entries."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.roles import ROLES
from runwright.http.ava.envelopes import PageQuery, Time, When, filter_of, optional
from runwright.http.fields import to_out
from runwright.http.validation import Validator
from runwright.tenants.audit import AuditEntry, AuditFilter

_CORE: Final = "endpoint."
_AVA: Final = "webhook."
_AN_ID: Final = r"^[A-Za-z0-9_.-]{1,128}$"


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    action: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z_]{1,40}\.([a-z_]{1,40}|\*)$",
                description="Only this action, `worker.create` for example, or a family: `worker.*`.",
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[action]")
    subject_id: (
        Annotated[str, Meta(pattern=_AN_ID, description="Only writes to the object with this id.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[subject_id]")
    user_id: Annotated[str, Meta(pattern=_AN_ID, description="Only writes of this user.")] | UnsetType = (
        field(default=UNSET, name="filter[user_id]")
    )
    tenant_id: (
        Annotated[
            str,
            Meta(
                pattern=_AN_ID,
                description="Only entries of this tenant; others than the caller's need a platform key.",
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="filter[tenant_id]")
    created_after: Annotated[When, Meta(description="At this time or later.")] | UnsetType = field(
        default=UNSET, name="filter[created_after]"
    )
    created_before: Annotated[When, Meta(description="At this time or earlier.")] | UnsetType = field(
        default=UNSET, name="filter[created_before]"
    )


LIST_ENTRIES: Final = Validator(AuditQuery)


class AuditEntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A write, and who made it."""

    id: Annotated[str, Meta(description="`aud_` and a lower-case ULID.")]
    created_at: Time
    tenant_id: str
    user_id: str
    key_id: Annotated[str, Meta(description="The key that was used; `platform` for the platform key.")]
    role: Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]
    request_id: Annotated[str, Meta(description="The `x-request-id` of the request.")]
    action: Annotated[str, Meta(examples=["worker.create"])]
    subject_id: Annotated[
        str, Meta(description="The id of the object that was written; for a secret, its name.")
    ]
    before_hash: Annotated[str | None, Meta(description="SHA-256 of the subject before, in hex.")]
    after_hash: Annotated[str | None, Meta(description="SHA-256 of the subject after, in hex.")]


def audit_filter(query: AuditQuery) -> AuditFilter:
    action = optional(query.action)
    if action is not None and action.startswith(_AVA):
        action = _CORE + action.removeprefix(_AVA)
    return filter_of(AuditFilter, query, action=action)


def entry_out(entry: AuditEntry) -> AuditEntryOut:
    core = entry.action.startswith(_CORE)
    action = _AVA + entry.action.removeprefix(_CORE) if core else entry.action
    return to_out(AuditEntryOut, entry, action=action)
