"""The schemas of tenants."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.ava.envelopes import PageQuery, Time, given_fields, optional
from runwright.http.fields import format_time, storable_text
from runwright.http.validation import Problem, Rule, Validator
from runwright.tenants.api_keys import NAME_LENGTH
from runwright.tenants.model import (
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


class LimitsIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Limits of a tenant's own; null: as usual again."""

    openapi_name: ClassVar[str] = "LimitsBody"

    requests_per_second: Count | None | UnsetType = UNSET
    request_burst: Count | None | UnsetType = UNSET
    queued_jobs: Count | None | UnsetType = UNSET
    running_jobs: Count | None | UnsetType = UNSET
    schedules: Count | None | UnsetType = UNSET
    stored_bytes: Bytes | None | UnsetType = UNSET


class TenantIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A tenant to make."""

    openapi_name: ClassVar[str] = "CreateTenantBody"

    id: TenantId | UnsetType = UNSET
    name: Text | None = None
    limits: LimitsIn | UnsetType = UNSET


class TenantPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; fields that are left out stay. Limits are merged one by one."""

    openapi_name: ClassVar[str] = "ChangeTenantBody"

    name: Text | None | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    status_reason: Annotated[Text, Meta(description="Why it is suspended.")] | None | UnsetType = UNSET
    limits: LimitsIn | UnsetType = UNSET


class TenantQuery(PageQuery, frozen=True, kw_only=True):
    """Which tenants to list."""

    q: (
        Annotated[str, Meta(max_length=NAME_LENGTH, description="Part of the id or the name, in any case.")]
        | UnsetType
    ) = UNSET
    status: Annotated[TenantStatus, Meta(description="Only tenants in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


class LimitsOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have and do; null: as much as it likes."""

    requests_per_second: int | None
    request_burst: int | None
    queued_jobs: int | None
    running_jobs: int | None
    schedules: int | None
    stored_bytes: int | None


class TenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str | None
    status: TenantStatus
    status_reason: str | None
    limits: Annotated[LimitsOut, Meta(description="Those in force.")]
    overrides: Annotated[LimitsOut, Meta(description="Those of its own; null: the usual one is in force.")]
    created_at: Annotated[Time, Meta(description="When it was made, or first wrote something.")]
    updated_at: Time


def _check_limits(limits: LimitsIn) -> Iterable[Problem]:
    burst, rate = limits.request_burst, limits.requests_per_second
    if isinstance(burst, int) and isinstance(rate, int) and burst < rate:
        yield "request_burst", "Must be at least requests_per_second."


_TEXTS: Final[dict[str, Rule]] = {
    "name": storable_text,
    "status_reason": storable_text,
    "limits": _check_limits,
}
_TENANT_READ_ONLY: Final = dict.fromkeys(("overrides", "created_at", "updated_at"), "Is read-only.")
CREATE_TENANT: Final = Validator(
    TenantIn,
    {"name": storable_text, "limits": _check_limits},
    _TENANT_READ_ONLY | {"status": "Is read-only here; a new tenant is active."},
)
CHANGE_TENANT: Final = Validator(TenantPatch, _TEXTS, _TENANT_READ_ONLY | {"id": "Is read-only."})
LIST_TENANTS: Final = Validator(TenantQuery, {"q": storable_text})


def new_tenant(body: TenantIn) -> NewTenant:
    limits = TenantLimits(**_given_limits(body.limits))
    return NewTenant(id=optional(body.id), name=body.name, limits=limits)


def tenant_changes(body: TenantPatch) -> TenantChanges:
    return TenantChanges(
        name=body.name,
        status=body.status,
        status_reason=body.status_reason,
        limits=LimitChanges(**_given_limits(body.limits)),
    )


def _given_limits(limits: LimitsIn | UnsetType) -> dict[str, int | None]:
    return {} if limits is UNSET else given_fields(limits)


def tenant_filter(query: TenantQuery) -> TenantFilter:
    return TenantFilter(status=optional(query.status), contains=query.q or None)


def tenant_out(tenant: Tenant, in_force: TenantLimits) -> TenantOut:
    return TenantOut(
        id=tenant.id,
        name=tenant.name,
        status=tenant.status,
        status_reason=tenant.status_reason,
        limits=_limits_out(in_force),
        overrides=_limits_out(tenant.limits),
        created_at=format_time(tenant.created_at),
        updated_at=format_time(tenant.updated_at),
    )


def _limits_out(limits: TenantLimits) -> LimitsOut:
    return LimitsOut(**{name: getattr(limits, name) for name in TenantLimits.__struct_fields__})
