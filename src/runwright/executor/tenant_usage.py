"""How much each tenant has lately used of an executor, so that turns can be fair."""

import asyncio
from typing import Final

HALF_LIFE_SECONDS: Final = 10.0
_FORGOTTEN: Final = 0.5


class TenantUsage:
    """Jobs begun per tenant, of which half is forgotten every `HALF_LIFE_SECONDS`."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._faded_at = 0.0

    def count(self, tenant_id: str) -> None:
        """Take a begun job into account."""
        self._used[tenant_id] = self._used.get(tenant_id, 0.0) + 1

    def by_tenant(self) -> dict[str, float]:
        """Return what is remembered now."""
        now = asyncio.get_running_loop().time()
        elapsed = now - self._faded_at
        if elapsed > 1.0:
            self._faded_at = now
            fade = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
            faded = {tenant: used * fade for tenant, used in self._used.items()}
            self._used = {tenant: used for tenant, used in faded.items() if used > _FORGOTTEN}
        return self._used
