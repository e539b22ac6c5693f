"""Quotas of tenants: queued jobs, schedules, stored code.

Counting at every write would cost more than the write, so a process works with *credit*: it counts,
and then admits up to a quarter of the free amount without counting again, for at most
`CREDIT_SECONDS`. Credit shrinks as usage approaches the quota, and the last writes are counted one
by one. A tenant with a large quota that has not been counted yet gets `INITIAL_CREDIT`.

A quota is therefore exact for one writer at a time. Concurrent writers may exceed it by what they
write at that moment, and with more than four processes writing for one tenant, by a quarter of the
free amount for each further process.

After a refusal, the count is reused for ten times as long as it took.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from runwright.core.errors import QuotaError

CREDIT_SECONDS: Final = 60.0
INITIAL_CREDIT: Final = 1000
MOST_TENANTS: Final = 50_000
_TRUSTED_FROM: Final = 10 * INITIAL_CREDIT
_PROCESSES: Final = 4
_REUSE_FACTOR: Final = 10

Count = Callable[[str, int], Awaitable[int]]
"""Returns how much a tenant uses now; it may stop counting at the given limit."""


class _Credit(msgspec.Struct):
    """What a tenant may write without a count, and the result of the last count."""

    limit: int
    left: int
    until: float
    current: int = 0
    refuse_until: float = 0.0


class Quota:
    """One quota, for all tenants."""

    def __init__(
        self,
        name: str,
        *,
        limit_of: Callable[[str], int | None],
        count: Count,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limit_of` returns the quota of a tenant, or None for no limit."""
        self._name = name
        self._limit_of = limit_of
        self._count = count
        self._seconds = seconds
        self._credits: dict[str, _Credit] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, tenant_id: str, amount: int = 1) -> None:
        """Admit a write of that amount, or raise QuotaError. It seldom has to wait for a count."""
        if amount > 0 and not self._spend(tenant_id, amount):
            # One task counts, and the others use its result.
            async with self._locks.setdefault(tenant_id, asyncio.Lock()):
                if not self._spend(tenant_id, amount):
                    await self._count_and_spend(tenant_id, amount)

    def _spend(self, tenant_id: str, amount: int) -> bool:
        limit = self._limit_of(tenant_id)
        if limit is None:
            return True
        credit = self._credits.get(tenant_id)
        if credit is None and limit >= _TRUSTED_FROM:
            credit = self._keep(tenant_id, _Credit(limit, INITIAL_CREDIT, self._seconds() + CREDIT_SECONDS))
        if credit is None or credit.limit != limit or credit.left < amount or self._seconds() > credit.until:
            return False
        credit.left -= amount
        return True

    async def _count_and_spend(self, tenant_id: str, amount: int) -> None:
        limit = self._limit_of(tenant_id)
        if limit is None:
            return
        started_at, known = self._seconds(), self._credits.get(tenant_id)
        just_counted = known is not None and known.limit == limit and started_at < known.refuse_until
        if known is not None and just_counted and known.current + amount > limit:
            raise QuotaError(self._name, limit, known.current)
        current = await self._count(tenant_id, limit)
        now, free = self._seconds(), limit - current
        credit = self._keep(
            tenant_id, _Credit(limit, max(free // _PROCESSES, 0), now + CREDIT_SECONDS, current)
        )
        if amount > free:
            credit.refuse_until = now + _REUSE_FACTOR * (now - started_at)
            raise QuotaError(self._name, limit, current)
        credit.left = max(credit.left - amount, 0)

    def _keep(self, tenant_id: str, credit: _Credit) -> _Credit:
        if len(self._credits) >= MOST_TENANTS:
            self._credits.clear()  # tenants with large quotas get their initial credit again
        self._credits[tenant_id] = credit
        return credit
