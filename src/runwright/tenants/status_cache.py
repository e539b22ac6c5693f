"""How tenants stand, in the memory of a process: who is suspended, who has limits of its own.

Only tenants that are not as usual are kept. A process reads all of these when it starts and then,
every `LOOK_SECONDS`, those that were changed; a change made in this process is read at once. So
asking costs a request nothing, and a suspended tenant is refused everywhere within seconds. While
the database is away, the last known standing holds.
"""

from typing import TYPE_CHECKING, Final

from runwright.core.errors import TenantSuspendedError
from runwright.db.pool import Database
from runwright.tenants.model import Tenant, TenantLimits, TenantStatus
from runwright.tenants.rate_limits import Rate
from runwright.tenants.tenant_store import changed_tenants

if TYPE_CHECKING:
    from datetime import datetime

LOOK_SECONDS: Final = 1.0
_USUAL: Final = TenantLimits()


class TenantStatusCache:
    """The tenants that are not as usual, and the limits of all others."""

    def __init__(self, db: Database, *, usual: TenantLimits = _USUAL) -> None:
        """`usual` are the limits of a tenant that has none of its own; what is None there is no limit."""
        self._db = db
        self.usual = usual
        self._unusual: dict[str, Tenant] = {}
        self._since: datetime | None = None

    def __len__(self) -> int:
        """Return how many tenants are kept."""
        return len(self._unusual)

    async def refresh(self) -> None:
        """Read what was changed since the last time."""
        changed, since = await changed_tenants(self._db, since=self._since)
        for tenant in changed:
            if tenant.status is TenantStatus.ACTIVE and tenant.limits == _USUAL:
                self._unusual.pop(tenant.id, None)
            else:
                self._unusual[tenant.id] = tenant
        self._since = since

    def require_active(self, tenant_id: str) -> None:
        """Raise TenantSuspendedError where the tenant is suspended."""
        tenant = self._unusual.get(tenant_id)
        if tenant is not None and tenant.status is TenantStatus.SUSPENDED:
            why = f": {tenant.status_reason}" if tenant.status_reason else "."
            raise TenantSuspendedError(f"The tenant is suspended{why}")

    def limits_of(self, tenant_id: str) -> TenantLimits:
        """Return what a tenant may have and do."""
        tenant = self._unusual.get(tenant_id)
        return self.usual if tenant is None else tenant.limits.within(self.usual)

    def rate_of(self, tenant_id: str) -> Rate | None:
        """Return how many requests the tenant may make, where that is not as usual."""
        tenant = self._unusual.get(tenant_id)
        if tenant is None or (tenant.limits.requests_per_second or tenant.limits.request_burst) is None:
            return None
        limits = tenant.limits.within(self.usual)
        if limits.requests_per_second is None:
            return None
        return Rate(limits.requests_per_second, limits.request_burst or limits.requests_per_second)
