"""The tenant status cache: which tenants are suspended, and which have limits of their own.

Only such tenants are in memory. A process reads all of them at startup, and those that have changed
every `REFRESH_SECONDS`; its own changes are read immediately. Requests therefore need no query, and
a suspended tenant is refused everywhere within seconds. While the database is unavailable, the last
known status applies.
"""

from typing import TYPE_CHECKING, Final

from runwright.core.errors import TenantSuspendedError
from runwright.db.pool import Database
from runwright.tenants.model import Tenant, TenantLimits, TenantStatus
from runwright.tenants.rate_limits import Rate
from runwright.tenants.store import changed_tenants

if TYPE_CHECKING:
    from datetime import datetime

REFRESH_SECONDS: Final = 1.0
_NO_LIMITS: Final = TenantLimits()


class TenantStatusCache:
    """The tenants that are suspended or have own limits, and the default limits of the others."""

    def __init__(self, db: Database, *, default_limits: TenantLimits = _NO_LIMITS) -> None:
        """`default_limits` apply where a tenant has no limit of its own; None in them is no limit."""
        self._db = db
        self.default_limits = default_limits
        self._special: dict[str, Tenant] = {}
        self._since: datetime | None = None

    def __len__(self) -> int:
        """Return the number of tenants in memory."""
        return len(self._special)

    async def refresh(self) -> None:
        """Read the tenants that have changed since the last call."""
        changed, since = await changed_tenants(self._db, since=self._since)
        for tenant in changed:
            if tenant.status is TenantStatus.ACTIVE and tenant.limits == _NO_LIMITS:
                self._special.pop(tenant.id, None)
            else:
                self._special[tenant.id] = tenant
        self._since = since

    def require_active(self, tenant_id: str) -> None:
        """Raise TenantSuspendedError if the tenant is suspended."""
        tenant = self._special.get(tenant_id)
        if tenant is not None and tenant.status is TenantStatus.SUSPENDED:
            reason = f": {tenant.status_reason}" if tenant.status_reason else "."
            raise TenantSuspendedError(f"The tenant is suspended{reason}")

    def limits_of(self, tenant_id: str) -> TenantLimits:
        """Return the limits of a tenant, with defaults for those that it does not override."""
        tenant = self._special.get(tenant_id)
        return self.default_limits if tenant is None else tenant.limits.with_defaults(self.default_limits)

    def rate_of(self, tenant_id: str) -> Rate | None:
        """Return the rate limit of a tenant that overrides the default, else None."""
        tenant = self._special.get(tenant_id)
        if tenant is None or (tenant.limits.requests_per_second or tenant.limits.request_burst) is None:
            return None
        limits = tenant.limits.with_defaults(self.default_limits)
        if limits.requests_per_second is None:
            return None
        return Rate(limits.requests_per_second, limits.request_burst or limits.requests_per_second)
