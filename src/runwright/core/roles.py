"""Roles, lowest first, and who is calling."""

from enum import IntEnum
from typing import Final

import msgspec


class Role(IntEnum):
    """A caller's role; a higher one may do all that a lower one may."""

    TENANT_VIEWER = 1
    TENANT_MEMBER = 2
    TENANT_ADMIN = 3
    TENANT_SYSTEM_ADMIN = 4
    PLATFORM_ADMIN = 5

    @property
    def wire_name(self) -> str:
        """The role as headers and the command line write it, for example `tenant-viewer`."""
        return self.name.lower().replace("_", "-")


ROLES: Final = {role.wire_name: role for role in Role}


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request, after authentication."""

    tenant_id: str
    user_id: str
    role: Role
    key_id: str
    request_id: str = ""
    by_platform: bool = False
    """Calls with a platform key, which belongs to no tenant."""

    @property
    def sees_all_tenants(self) -> bool:
        """Whether this is the operator, who may look after every tenant."""
        return self.by_platform and self.role is Role.PLATFORM_ADMIN
