"""The schemas of tenants, their limits and usage."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.core.struct_fields import set_fields
from runwright.http.ava.envelopes import PageQuery, Time, optional
from runwright.http.fields import storable_text, to_out
from runwright.http.validation import Problem, Rule, Validator
from runwright.tenants.api_keys import NAME_LENGTH
from runwright.tenants.model import (
    LimitChanges,
    NewTenant,
    Tenant,
    TenantChanges,
    TenantLimits,
    TenantStatus,
)
from runwright.tenants.usage import QuotaReport

_LARGEST: Final = 2**31 - 1
_MOST_BYTES: Final = 2**50

TenantId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$", description="1 to 128 letters, digits, `_`, `.`, `-`.")
]
Text = Annotated[str, Meta(max_length=NAME_LENGTH)]
Status = Annotated[
    TenantStatus, Meta(description="`suspended`: its requests are refused and none of its jobs starts.")
]
Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
Bytes = Annotated[int, Meta(ge=1, le=_MOST_BYTES)]


class LimitsIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The limits of a tenant; null restores the default."""

    openapi_name: ClassVar[str] = "LimitsBody"

    requests_per_second: Count | None | UnsetType = UNSET
    request_burst: Count | None | UnsetType = UNSET
    queued_jobs: Count | None | UnsetType = UNSET
    running_jobs: Count | None | UnsetType = UNSET
    schedules: Count | None | UnsetType = UNSET
    stored_bytes: Bytes | None | UnsetType = UNSET


class TenantIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A tenant to create."""

    openapi_name: ClassVar[str] = "CreateTenantBody"

    id: TenantId | UnsetType = UNSET
    name: Text | None = None
    limits: LimitsIn | UnsetType = UNSET


class TenantPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields to change; others are left unchanged. Limits are merged one by one."""

    openapi_name: ClassVar[str] = "ChangeTenantBody"

    name: Text | None | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    status_reason: Annotated[Text, Meta(description="Why it is suspended.")] | None | UnsetType = UNSET
    limits: LimitsIn | UnsetType = UNSET


class TenantQuery(PageQuery, frozen=True, kw_only=True):
    """The filters of the list."""

    q: (
        Annotated[str, Meta(max_length=NAME_LENGTH, description="Part of the id or the name, in any case.")]
        | UnsetType
    ) = UNSET
    status: Annotated[TenantStatus, Meta(description="Only tenants in this state.")] | UnsetType = field(
        default=UNSET, name="filter[status]"
    )


class LimitsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a tenant; null: no limit."""

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
    limits: Annotated[LimitsOut, Meta(description="The limits that apply.")]
    overrides: Annotated[
        LimitsOut, Meta(description="The limits that were set for this tenant; null: the default applies.")
    ]
    created_at: Annotated[Time, Meta(description="When it was created, or first wrote something.")]
    updated_at: Time


class QuotaUsageOut(msgspec.Struct, frozen=True):
    """How much of a quota is used; `limit` null: there is no limit."""

    used: int
    limit: int | None


class QuotaUsagesOut(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each quota is used."""

    queued_jobs: QuotaUsageOut
    running_jobs: QuotaUsageOut
    schedules: QuotaUsageOut
    stored_bytes: QuotaUsageOut


class RequestRateOut(msgspec.Struct, frozen=True):
    """The limit of requests; null: there is none. How many are left is in the headers of every response."""

    per_second: int | None
    burst: int | None


class UsageOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant uses."""

    tenant_id: str
    quotas: QuotaUsagesOut
    requests: RequestRateOut
    sampled_at: Annotated[
        Time, Meta(description="When it was counted: now, or a little ago where counting takes long.")
    ]


def tenant_out(tenant: Tenant, defaults: TenantLimits) -> TenantOut:
    """Return a tenant as the API shows it; `defaults` apply where it has no limits of its own."""
    in_force = tenant.limits.with_defaults(defaults)
    overrides = to_out(LimitsOut, tenant.limits)
    return to_out(TenantOut, tenant, limits=to_out(LimitsOut, in_force), overrides=overrides)


def usage_out(tenant_id: str, usage: QuotaReport, limits: TenantLimits) -> UsageOut:
    """Return the usage of a tenant as the API shows it."""
    quotas = {name: to_out(QuotaUsageOut, quota) for name, quota in usage.quotas.items()}
    return to_out(
        UsageOut,
        usage,
        tenant_id=tenant_id,
        quotas=QuotaUsagesOut(**quotas),
        requests=RequestRateOut(limits.requests_per_second, limits.request_burst),
    )


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
    """Return the tenant that a valid body describes."""
    limits = {} if body.limits is UNSET else set_fields(body.limits)
    return NewTenant(id=optional(body.id), name=body.name, limits=TenantLimits(**limits))


def tenant_changes(body: TenantPatch) -> TenantChanges:
    """Return the changes that a valid body describes."""
    changes = set_fields(body)
    if body.limits is not UNSET:
        changes["limits"] = LimitChanges(**set_fields(body.limits))
    return TenantChanges(**changes)
