"""Roles, in ascending order, and the authenticated caller."""

from enum import IntEnum
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


class Caller(msgspec.Struct, frozen=True):
    """The authenticated caller of a request."""

    tenant_id: str
    user_id: str
    role: Role
    key_id: str
    request_id: str = ""
    by_platform: bool = False
    """Whether the request was made with the platform key, which belongs to no tenant."""

    @property
    def sees_all_tenants(self) -> bool:
        """Whether the caller is the operator, who may manage every tenant."""
        return self.by_platform and self.role is Role.PLATFORM_ADMIN
