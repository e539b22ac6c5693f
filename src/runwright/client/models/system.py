"""Who is calling, and the state of the server."""

from datetime import datetime
from typing import Any

import msgspec

from runwright.client.models.base import Info


class CallerKeyInfo(Info, frozen=True, kw_only=True):
    """The key of a request, without its text."""

    id: str
    name: str = ""
    role: str
    created_at: datetime | None = None
    scopes: list[str] | None = None


class WhoamiInfo(Info, frozen=True, kw_only=True):
    """Whom requests are made for."""

    tenant_id: str
    user_id: str
    role: str
    operator: bool = False
    key: CallerKeyInfo
    server_version: str


class SystemInfo(Info, frozen=True, kw_only=True):
    """The state of the server."""

    version: str
    roles: list[str]
    isolation: dict[str, Any]
    runtimes: list[dict[str, Any]]
    executors: list[dict[str, Any]]
    queue: dict[str, Any]
    database: dict[str, Any]
    storage: list[dict[str, Any]] = msgspec.field(default_factory=list)
    disks: list[dict[str, Any]] = msgspec.field(default_factory=list)


class CheckInfo(Info, frozen=True, kw_only=True):
    """What a check of definitions found that is not wrong, but probably not meant either."""

    warnings: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """By field."""
