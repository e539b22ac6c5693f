"""Tenants, their limits, API keys, and the sessions that are derived from keys."""

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from runwright.core.roles import ALL_SCOPES, KeyScope, Role

KEY_PREFIX: Final = "rwk_"
PLATFORM_KEY_ID: Final = "platform"

_RANDOM_BYTES: Final = 32
_KEY: Final = re.compile(r"rwk_[A-Za-z0-9_-]{43}", re.ASCII)
_SESSION: Final = re.compile(r"rw[stl]_[A-Za-z0-9_-]{43}", re.ASCII)
_SHARE: Final = re.compile(r"rwj_[A-Za-z0-9_-]{43}", re.ASCII)
_ANSWER: Final = re.compile(r"rwa_[A-Za-z0-9_-]{43}", re.ASCII)
_TENANT_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text. `tenant_id` is None for the platform key, which acts for any tenant."""

    id: str
    tenant_id: str | None
    role: Role
    """The highest role of requests with this key."""
    name: str = ""
    scopes: frozenset[KeyScope] = ALL_SCOPES
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    previous_until: datetime | None = None
    """Until when an earlier text of a rotated key is accepted too."""

    def is_active(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A key to create."""

    tenant_id: str
    role: Role
    name: str = ""
    scopes: frozenset[KeyScope] = ALL_SCOPES
    expires_at: datetime | None = None


class SessionKind(StrEnum):
    """What a session is used as."""

    SESSION = "session"
    """The cookie of a browser."""
    TOKEN = "token"  # noqa: S105  a kind, no password
    """A bearer token that only reads."""
    LINK = "link"
    """A link that signs in, once."""


class KeySession(msgspec.Struct, frozen=True, kw_only=True):
    """What is derived from a key for a short time, for one tenant, user and role. It ends with the key."""

    id: str
    kind: SessionKind
    key_id: str
    tenant_id: str
    user_id: str
    role: Role
    scopes: frozenset[KeyScope] = ALL_SCOPES
    by_platform: bool = False
    """Whether it acts for every tenant, as the platform key does."""
    created_at: datetime
    expires_at: datetime

    def as_key(self) -> ApiKey:
        """Return a key that may do what the session may do."""
        return ApiKey(
            id=self.key_id,
            tenant_id=None if self.by_platform else self.tenant_id,
            role=self.role,
            scopes=self.scopes,
            created_at=self.created_at,
            expires_at=self.expires_at,
        )


_SESSION_PREFIXES: Final = {SessionKind.SESSION: "rws_", SessionKind.TOKEN: "rwt_", SessionKind.LINK: "rwl_"}


class JobShare(msgspec.Struct, frozen=True, kw_only=True):
    """A link that shows one job to anyone who has it. It ends with the key."""

    id: str
    tenant_id: str
    job_id: str
    key_id: str
    user_id: str
    """Who made it."""
    created_at: datetime
    expires_at: datetime


class TenantStatus(StrEnum):
    """Whether a tenant may make requests and run jobs."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class TenantLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The rate limits and quotas of a tenant. None is the default or, in the defaults, no limit."""

    requests_per_second: int | None = None
    request_burst: int | None = None
    queued_jobs: int | None = None
    running_jobs: int | None = None
    schedules: int | None = None
    stored_bytes: int | None = None

    def with_defaults(self, defaults: "TenantLimits") -> "TenantLimits":
        """Return these limits, with the default for each that is None."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(defaults, **{name: n for name, n in own.items() if n is not None})


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Its resources are invisible to other tenants. `limits` override the defaults."""

    id: str
    name: str | None
    status: TenantStatus
    status_reason: str | None
    limits: TenantLimits
    created_at: datetime
    updated_at: datetime


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant to create; an id is generated if none is given."""

    id: str | None = None
    name: str | None = None
    limits: TenantLimits = TenantLimits()


class LimitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Limits to set, or (None) to reset to the default."""

    requests_per_second: int | None | UnsetType = UNSET
    request_burst: int | None | UnsetType = UNSET
    queued_jobs: int | None | UnsetType = UNSET
    running_jobs: int | None | UnsetType = UNSET
    schedules: int | None | UnsetType = UNSET
    stored_bytes: int | None | UnsetType = UNSET


class TenantChanges(msgspec.Struct, frozen=True, kw_only=True):
    """A partial update of a tenant."""

    name: str | None | UnsetType = UNSET
    status: TenantStatus | UnsetType = UNSET
    status_reason: str | None | UnsetType = UNSET
    limits: LimitChanges = LimitChanges()


class TenantFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter for tenants; `contains` is matched against id and name."""

    status: TenantStatus | None = None
    contains: str | None = None


def new_key_text() -> str:
    """Return a new key: 256 random bits after a prefix that secret scanners recognize."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def new_session_text(kind: SessionKind) -> str:
    """Return the text of a new session: 256 random bits after a prefix for its kind."""
    return _SESSION_PREFIXES[kind] + secrets.token_urlsafe(_RANDOM_BYTES)


def new_share_text() -> str:
    """Return the text of a new share: 256 random bits after a prefix of its own."""
    return "rwj_" + secrets.token_urlsafe(_RANDOM_BYTES)


def is_share_text(text: str) -> bool:
    """Return whether the text has the form of a share of a job."""
    return _SHARE.fullmatch(text) is not None


def new_answer_text() -> str:
    """Return the text of a new link to a question: 256 random bits after a prefix of its own."""
    return "rwa_" + secrets.token_urlsafe(_RANDOM_BYTES)


def is_answer_text(text: str) -> bool:
    """Return whether the text has the form of a link to a question."""
    return _ANSWER.fullmatch(text) is not None


def is_key_text(text: str) -> bool:
    """Return whether the text has the form of a tenant's key."""
    return _KEY.fullmatch(text) is not None


def is_session_text(kind: SessionKind, text: str) -> bool:
    """Return whether the text has the form of a session of this kind."""
    return text.startswith(_SESSION_PREFIXES[kind]) and _SESSION.fullmatch(text) is not None


def is_tenant_id(text: str) -> bool:
    """Return whether the text is a valid tenant id."""
    return _TENANT_ID.fullmatch(text) is not None


def digest(text: str) -> bytes:
    """Return the digest of a key's text, which is all that is stored of it."""
    return hashlib.sha256(text.encode()).digest()


def restricted_digest(plain: bytes) -> bytes:
    """Return the digest that is stored for a key with an expiry or scopes.

    The previous release, which knows neither, looks for the plain digest and so refuses such keys.
    """
    return hashlib.sha256(b"restricted:" + plain).digest()
