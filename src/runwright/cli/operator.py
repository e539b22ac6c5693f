"""The caller that commands act as."""

from runwright.core.roles import Caller, Role


def operator_in(tenant_id: str) -> Caller:
    """Return the operator, acting in a tenant; the audit log shows the user `cli`."""
    return Caller(tenant_id, "cli", Role.PLATFORM_ADMIN, "cli", by_platform=True)
