"""Who runs commands: the operator, as the audit log calls them."""

from runwright.core.roles import Caller, Role


def operator_in(tenant_id: str) -> Caller:
    """Return the operator at a terminal, acting in a tenant."""
    return Caller(tenant_id, "cli", Role.PLATFORM_ADMIN, "cli", by_platform=True)
