"""Ids of automations and of what belongs to them. They are opaque: callers must not parse them."""

import hashlib
import secrets
from typing import Final

DEFAULT_TENANT: Final = "default"
"""The tenant of a configuration file that names none, and of keyless requests in development."""


def hex_of(*parts: str, joined: str, length: int) -> str:
    """Return the first hexadecimal digits of a digest of texts."""
    return hashlib.sha256(joined.join(parts).encode()).hexdigest()[:length]


def random_id(prefix: str) -> str:
    """Return a new random id."""
    return f"{prefix}-{secrets.token_hex(8)}"


def config_digest(*, tenant_id: str, scope: str, workspace_id: str, name: str) -> str:
    """Return the stable part of the ids of a definition from a configuration file."""
    tenant = () if tenant_id == DEFAULT_TENANT else (tenant_id,)
    return hex_of(*tenant, scope, workspace_id, name, joined="\n", length=16)


def webhook_id_of(trigger_id: str) -> str:
    """Return the webhook id of a trigger whose author chose none."""
    return "wbh_" + hex_of(trigger_id, joined="", length=16)


def secret_ref_of(trigger_id: str) -> str:
    """Return the reference to the stored webhook secret of a trigger."""
    return f"vault:automation/triggers/{trigger_id}/webhook-secret"
