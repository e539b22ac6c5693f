"""What an API key is, and what a tenant is."""

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.core.roles import Role

KEY_PREFIX: Final = "rwk_"
PLATFORM_KEY_ID: Final = "platform"

_RANDOM_BYTES: Final = 32
_KEY: Final = re.compile(r"rwk_[A-Za-z0-9_-]{43}", re.ASCII)
_TENANT_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret. `tenant_id` is None for the platform key, which asserts any tenant."""

    id: str
    tenant_id: str | None
    role: Role
    """The highest role that a call with this key may have."""
    name: str = ""
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class TenantStatus(StrEnum):
    """Whether a tenant may work."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class TenantLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have and do; what is None is as usual, or else not limited."""

    requests_per_second: int | None = None
    request_burst: int | None = None
    queued_jobs: int | None = None
    running_jobs: int | None = None
    schedules: int | None = None
    stored_bytes: int | None = None

    def within(self, usual: "TenantLimits") -> "TenantLimits":
        """Return these limits, with the usual ones in place of those that are None."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(usual, **{name: n for name, n in own.items() if n is not None})


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose things nobody else sees. `limits` are those that differ from the usual ones."""

    id: str
    name: str | None
    status: TenantStatus
    status_reason: str | None
    limits: TenantLimits
    created_at: datetime
    updated_at: datetime


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant to make; without an id it gets one."""

    id: str | None = None
    name: str | None = None
    limits: TenantLimits = TenantLimits()


class LimitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """TenantLimits to set, or (None) to have as usual again."""

    requests_per_second: int | None | UnsetType = UNSET
    request_burst: int | None | UnsetType = UNSET
    queued_jobs: int | None | UnsetType = UNSET
    running_jobs: int | None | UnsetType = UNSET
    schedules: int | None | UnsetType = UNSET
    stored_bytes: int | None | UnsetType = UNSET


class TenantChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a tenant."""

    name: str | None | UnsetType = UNSET
    status: TenantStatus | UnsetType = UNSET
    status_reason: str | None | UnsetType = UNSET
    limits: LimitChanges = LimitChanges()


class TenantFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tenants; `contains` is looked for in id and name."""

    status: TenantStatus | None = None
    contains: str | None = None


def new_key_text() -> str:
    """Return a fresh key: 256 random bits behind a prefix that secret scanners can look for."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def is_key_text(text: str) -> bool:
    """Tell whether this has the shape of a tenant's key."""
    return _KEY.fullmatch(text) is not None


def is_tenant_id(text: str) -> bool:
    """Tell whether this can name a tenant."""
    return _TENANT_ID.fullmatch(text) is not None


def digest(text: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(text.encode()).digest()
