"""Secrets, keys, tenants and the audit log."""

from datetime import datetime
from typing import Literal, TypedDict

from runwright.client.models.base import Info

RoleName = Literal["tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin"]


class SecretEntry(Info, frozen=True, kw_only=True):
    """A secret without its value, which the server never returns."""

    name: str
    updated_at: datetime


class KeyInfo(Info, frozen=True, kw_only=True):
    """An API key; `key` is its text, of a new one only."""

    id: str
    tenant_id: str
    role: str
    name: str = ""
    scopes: list[str] | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    previous_until: datetime | None = None
    """Until when an earlier text is accepted, after a rotation."""
    key: str | None = None

    def __repr__(self) -> str:
        return (
            f"KeyInfo(id={self.id!r}, tenant_id={self.tenant_id!r}, role={self.role!r}, name={self.name!r})"
        )


class TokenInfo(Info, frozen=True, kw_only=True):
    """A short-lived token that reads, for a browser; `url` of a sign-in link."""

    token: str
    expires_at: datetime
    url: str | None = None

    def __repr__(self) -> str:
        return f"TokenInfo(expires_at={self.expires_at!r})"


class LimitsInfo(Info, frozen=True, kw_only=True):
    """Limits of a tenant; None: there is none."""

    requests_per_second: int | None = None
    request_burst: int | None = None
    queued_jobs: int | None = None
    running_jobs: int | None = None
    schedules: int | None = None
    stored_bytes: int | None = None


class TenantInfo(Info, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str | None = None
    status: str
    status_reason: str | None = None
    limits: LimitsInfo
    """Those in force."""
    overrides: LimitsInfo
    """Those of its own."""
    created_at: datetime
    updated_at: datetime


class QuotaInfo(Info, frozen=True, kw_only=True):
    """How much of a quota is used."""

    used: int
    limit: int | None = None


class RequestRateInfo(Info, frozen=True, kw_only=True):
    """The limit of requests; None: there is none."""

    per_second: int | None = None
    burst: int | None = None


class UsageInfo(Info, frozen=True, kw_only=True):
    """What a tenant uses of each quota."""

    tenant_id: str
    quotas: dict[str, QuotaInfo]
    requests: RequestRateInfo
    sampled_at: datetime


class AuditInfo(Info, frozen=True, kw_only=True):
    """One write, and who made it."""

    id: str
    created_at: datetime
    tenant_id: str
    user_id: str
    key_id: str
    role: str
    request_id: str
    action: str
    subject_id: str
    before_hash: str | None = None
    after_hash: str | None = None


class TenantLimitFields(TypedDict, total=False):
    """Limits of a tenant's own; None: the usual one again."""

    requests_per_second: int | None
    request_burst: int | None
    queued_jobs: int | None
    running_jobs: int | None
    schedules: int | None
    stored_bytes: int | None


class TenantUpdate(TypedDict, total=False):
    """The fields of a tenant that can be changed."""

    name: str | None
    status: Literal["active", "suspended"]
    status_reason: str | None
    limits: TenantLimitFields


class AuditListing(TypedDict, total=False):
    """Which entries of the audit log to list."""

    action: str
    subject_id: str
    user_id: str
    tenant_id: str
    created_after: datetime
    created_before: datetime
    per_page: int
