"""What requests about tenants and keys may hold, and how both are shown."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.roles import ROLES, Role
from runwright.http.ava.paging import PageQuery
from runwright.http.ava.wire import Time
from runwright.http.checks import Form, Problem, Rule
from runwright.http.text import storable_text
from runwright.http.times import time_or_none, time_wire
from runwright.tenants.keys import NAME_LENGTH
from runwright.tenants.model import (
    Key,
    LimitChanges,
    NewTenant,
    Tenant,
    TenantChanges,
    TenantFilter,
    TenantLimits,
    TenantStatus,
)

_LARGEST: Final = 2**31 - 1
_MOST_BYTES: Final = 2**50

TenantId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$", description="1 to 128 letters, digits, `_`, `.`, `-`.")
]
Text = Annotated[str, Meta(max_length=NAME_LENGTH)]
Status = Annotated[
    TenantStatus, Meta(description="`suspended`: its calls are refused, nothing of it starts.")
]
Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
Bytes = Annotated[int, Meta(ge=1, le=_MOST_BYTES)]
RoleName = Literal["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"]


class LimitsBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """TenantLimits of a tenant's own; null: as usual again."""

    requests_per_second: Count | None | UnsetType = UNSET
    request_burst: Count | None | UnsetType = UNSET
    queued_jobs: Count | None | UnsetType = UNSET
    running_jobs: Count | None | UnsetType = UNSET
    schedules: Count | None | UnsetType = UNSET
    stored_bytes: Bytes | None | UnsetType = UNSET


class CreateTenantBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A tenant to make."""

    id: TenantId | UnsetType = UNSET
    name: Text | None = None
    limits: LimitsBody | UnsetType = UNSET


class ChangeTenantBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay. TenantLimits are merged one by one."""

    name: Text | None | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    status_reason: Annotated[Text, Meta(description="Why it is suspended.")] | None | UnsetType = UNSET
    limits: LimitsBody | UnsetType = UNSET


class TenantQuery(PageQuery, frozen=True, kw_only=True):
    """Which tenants to list."""

    q: (
        Annotated[str, Meta(max_length=NAME_LENGTH, description="Part of the id or the name, in any case.")]
        | UnsetType
    ) = UNSET
    status: Annotated[TenantStatus, Meta(description="Only tenants in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


class CreateKeyBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to make."""

    role: Annotated[RoleName, Meta(description="The highest role it may take; not above your own.")]
    name: Annotated[Text, Meta(description="What it is for.")] = ""
    tenant_id: TenantId | UnsetType = UNSET


class KeyQuery(PageQuery, frozen=True, kw_only=True):
    """Which keys to list."""

    tenant_id: (
        Annotated[TenantId, Meta(description="Only this tenant's; a platform key sees others than its own.")]
        | UnsetType
    ) = field(default=UNSET, name="filter[tenant_id]")


class LimitsWire(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have and do; null: as much as it likes."""

    requests_per_second: int | None
    request_burst: int | None
    queued_jobs: int | None
    running_jobs: int | None
    schedules: int | None
    stored_bytes: int | None


class TenantWire(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str | None
    status: TenantStatus
    status_reason: str | None
    limits: Annotated[LimitsWire, Meta(description="Those in force.")]
    overrides: Annotated[LimitsWire, Meta(description="Those of its own; null: the usual one is in force.")]
    created_at: Annotated[Time, Meta(description="When it was made, or first wrote something.")]
    updated_at: Time


class KeyWire(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text."""

    id: Annotated[str, Meta(description="`key_` and a lower-case ULID.")]
    tenant_id: str
    role: RoleName
    name: str
    created_at: Time
    last_used_at: Annotated[Time | None, Meta(description="To the minute.")]
    revoked_at: Time | None


class NewKeyWire(KeyWire, frozen=True, kw_only=True):
    """A new key with its text."""

    key: Annotated[str, Meta(description="The key itself; shown this once.")]


def _check_limits(limits: LimitsBody) -> Iterable[Problem]:
    burst, rate = limits.request_burst, limits.requests_per_second
    if isinstance(burst, int) and isinstance(rate, int) and burst < rate:
        yield "request_burst", "Must be at least requests_per_second."


_TEXTS: Final[dict[str, Rule]] = {
    "name": storable_text,
    "status_reason": storable_text,
    "limits": _check_limits,
}
_TENANT_READ_ONLY: Final = dict.fromkeys(("overrides", "created_at", "updated_at"), "Is read-only.")
CREATE_TENANT: Final = Form(
    CreateTenantBody,
    {"name": storable_text, "limits": _check_limits},
    _TENANT_READ_ONLY | {"status": "Is read-only here; a new tenant is active."},
)
CHANGE_TENANT: Final = Form(ChangeTenantBody, _TEXTS, _TENANT_READ_ONLY | {"id": "Is read-only."})
LIST_TENANTS: Final = Form(TenantQuery, {"q": storable_text})
CREATE_KEY: Final = Form(CreateKeyBody, {"name": storable_text})
LIST_KEYS: Final = Form(KeyQuery)


def new_tenant(body: CreateTenantBody) -> NewTenant:
    given = _given(body.limits)
    return NewTenant(
        id=None if body.id is UNSET else body.id,
        name=body.name,
        limits=TenantLimits(**given),
    )


def tenant_changes(body: ChangeTenantBody) -> TenantChanges:
    return TenantChanges(
        name=body.name,
        status=body.status,
        status_reason=body.status_reason,
        limits=LimitChanges(**_given(body.limits)),
    )


def _given(limits: LimitsBody | UnsetType) -> dict[str, int | None]:
    if limits is UNSET:
        return {}
    values = {name: getattr(limits, name) for name in LimitsBody.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


def tenant_filter(query: TenantQuery) -> TenantFilter:
    return TenantFilter(
        status=None if query.status is UNSET else query.status,
        contains=None if query.q is UNSET or not query.q else query.q,
    )


def key_role(body: CreateKeyBody) -> Role:
    return ROLES[body.role]


def tenant_wire(tenant: Tenant, in_force: TenantLimits) -> TenantWire:
    return TenantWire(
        id=tenant.id,
        name=tenant.name,
        status=tenant.status,
        status_reason=tenant.status_reason,
        limits=_limits_wire(in_force),
        overrides=_limits_wire(tenant.limits),
        created_at=time_wire(tenant.created_at),
        updated_at=time_wire(tenant.updated_at),
    )


def _limits_wire(limits: TenantLimits) -> LimitsWire:
    return LimitsWire(**{name: getattr(limits, name) for name in TenantLimits.__struct_fields__})


def key_wire(key: Key) -> KeyWire:
    return KeyWire(**_key_values(key))


def new_key_wire(key: Key, text: str) -> NewKeyWire:
    return NewKeyWire(**_key_values(key), key=text)


def _key_values(key: Key) -> dict[str, Any]:
    assert key.tenant_id is not None  # noqa: S101  the platform key is in no table
    assert key.created_at is not None  # noqa: S101  as above
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "role": key.role.wire_name,
        "name": key.name,
        "created_at": time_wire(key.created_at),
        "last_used_at": time_or_none(key.last_used_at),
        "revoked_at": time_or_none(key.revoked_at),
    }
