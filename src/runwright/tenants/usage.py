"""How much of each quota a tenant uses.

A count that took long (of a queue of millions) is shown again for ten times as long as it took.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.tenants.model import TenantLimits

MOST_COUNTED: Final = 10_000_000
_KEPT_TIMES: Final = 10

Count = Callable[[str, int], Awaitable[int]]
"""Returns how much a tenant uses now, counted up to a bound."""


class QuotaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a quota is used; `limit` None: there is no limit."""

    used: int
    limit: int | None


class QuotaReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each quota a tenant uses, by the name of the quota."""

    quotas: Mapping[str, QuotaUsage]
    sampled_at: datetime


class UsageReporter:
    """Counts what tenants use."""

    def __init__(
        self, counts: Mapping[str, Count], *, limits_of: Callable[[str], TenantLimits], clock: Clock
    ) -> None:
        """`counts` by the name of the quota, which is that of a field of the limits."""
        self._counts = counts
        self._limits_of = limits_of
        self._clock = clock
        self._kept: dict[str, tuple[dict[str, int], datetime, float]] = {}
        """The last counts of a tenant, their time, and until when they are shown."""

    async def usage(self, tenant_id: str) -> QuotaReport:
        """Return the usage of a tenant, which need not exist."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self._kept = {tenant: kept for tenant, kept in self._kept.items() if kept[2] > began_at}
        kept = self._kept.get(tenant_id)
        if kept is None:
            sampled_at = self._clock()
            used = {name: await count(tenant_id, MOST_COUNTED) for name, count in self._counts.items()}
            now = loop.time()
            kept = self._kept[tenant_id] = (used, sampled_at, now + _KEPT_TIMES * (now - began_at))
        used, sampled_at, _ = kept
        limits = self._limits_of(tenant_id)
        quotas = {name: QuotaUsage(used=n, limit=getattr(limits, name)) for name, n in used.items()}
        return QuotaReport(quotas=quotas, sampled_at=sampled_at)
