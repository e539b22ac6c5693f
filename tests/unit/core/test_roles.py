"""Roles have names on the wire, and only the operator sees all tenants."""

import pytest

from runwright.core.roles import ROLES, Caller, Role


def test_roles_have_the_names_of_the_documentation_in_ascending_order() -> None:
    assert [*ROLES] == [
        "tenant-viewer", "tenant-member", "tenant-admin", "tenant-system-admin", "platform-admin",
    ]  # fmt: skip
    assert [*ROLES.values()] == sorted(Role)
    assert all(role.wire_name == name for name, role in ROLES.items())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("by_platform", [True, False])
def test_only_a_platform_admin_with_the_platform_key_sees_all_tenants(role: Role, by_platform: bool) -> None:
    caller = Caller("ten_a", "usr_1", role, "key_1", by_platform=by_platform)
    assert caller.sees_all_tenants is (by_platform and role is Role.PLATFORM_ADMIN)
    assert not Caller("ten_a", "usr_1", role, "key_1").sees_all_tenants
