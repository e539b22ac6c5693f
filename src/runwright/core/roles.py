"""Roles, in ascending order, the scopes of keys, and the authenticated caller."""

from enum import IntEnum, StrEnum
from typing import Final

import msgspec


class Role(IntEnum):
    """A caller's role; each includes the permissions of those below it."""

    TENANT_VIEWER = 1
    TENANT_MEMBER = 2
    TENANT_ADMIN = 3
    TENANT_SYSTEM_ADMIN = 4
    PLATFORM_ADMIN = 5

    @property
    def wire_name(self) -> str:
        """The role in headers and on the command line, for example `tenant-viewer`."""
        return self.name.lower().replace("_", "-")


ROLES: Final = {role.wire_name: role for role in Role}


class KeyScope(StrEnum):
    """What a key may be used for, within its role. None includes another one."""

    READ = "read"
    RUN = "run"
    """Submit, cancel and retry jobs, publish events, decide."""
    DEPLOY = "deploy"
    """Change what runs and when: workers, secrets, schedules, webhooks, agents, automations."""
    ADMIN = "admin"
    """Keys, the audit log, tenants, the state of the server."""


ALL_SCOPES: Final = frozenset(KeyScope)


class Caller(msgspec.Struct, frozen=True):
    """The authenticated caller of a request."""

    tenant_id: str
    user_id: str
    role: Role
    key_id: str
    request_id: str = ""
    by_platform: bool = False
    """Whether the request was made with the platform key, which belongs to no tenant."""
    scopes: frozenset[KeyScope] = ALL_SCOPES
    """What the key may be used for."""

    @property
    def sees_all_tenants(self) -> bool:
        """Whether the caller is the operator, who may manage every tenant."""
        return self.by_platform and self.role is Role.PLATFORM_ADMIN
