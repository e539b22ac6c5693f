"""What an API key is."""

import hashlib
import re
import secrets
from datetime import datetime
from typing import Final

import msgspec

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
