"""How much of something a tenant may have: jobs that wait, schedules, stored code.

Counting at every write would cost more than the write, so a process takes *credit*: it counts,
and then lets a tenant write up to a quarter of what was free without counting again, for at most
`CREDIT_SECONDS`. The nearer to the quota, the smaller the credit, and the last ones are counted
one by one. A tenant that nobody has counted yet, with a large quota, has `FREE` on trust.

So a quota holds exactly for one writer at a time. It may be passed by what several are writing at
the same moment, and where more than four processes write for one tenant, by a quarter of what was
free for each further one.

A refused write is not counted anew for ten times as long as the count took.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from runwright.core.errors import QuotaError

CREDIT_SECONDS: Final = 60.0
FREE: Final = 1000
MOST_TENANTS: Final = 50_000
_TRUSTED_FROM: Final = 10 * FREE
_PROCESSES: Final = 4
_KEPT_TIMES: Final = 10

Count = Callable[[str, int], Awaitable[int]]
"""Tells how much of it a tenant has now; it need not count further than the bound."""


class _Credit(msgspec.Struct):
    """What a tenant may write without a count, and what the last count said."""

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
        """`limit_of` says how much a tenant may have; None: as much as it likes."""
        self._name = name
        self._limit_of = limit_of
        self._count = count
        self._seconds = seconds
        self._credits: dict[str, _Credit] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, tenant_id: str, amount: int = 1) -> None:
        """Let a tenant write that much more, or raise QuotaError. Mostly this waits for nothing."""
        if amount > 0 and not self._spend(tenant_id, amount):
            # One counts, and the others look at what that gave.
            async with self._turns.setdefault(tenant_id, asyncio.Lock()):
                if not self._spend(tenant_id, amount):
                    await self._count_and_spend(tenant_id, amount)

    def _spend(self, tenant_id: str, amount: int) -> bool:
        limit = self._limit_of(tenant_id)
        if limit is None:
            return True
        credit = self._credits.get(tenant_id)
        if credit is None and limit >= _TRUSTED_FROM:
            credit = self._keep(tenant_id, _Credit(limit, FREE, self._seconds() + CREDIT_SECONDS))
        if credit is None or credit.limit != limit or credit.left < amount or self._seconds() > credit.until:
            return False
        credit.left -= amount
        return True

    async def _count_and_spend(self, tenant_id: str, amount: int) -> None:
        limit = self._limit_of(tenant_id)
        if limit is None:
            return
        asked_at, known = self._seconds(), self._credits.get(tenant_id)
        just_counted = known is not None and known.limit == limit and asked_at < known.refuse_until
        if known is not None and just_counted and known.current + amount > limit:
            raise QuotaError(self._name, limit, known.current)
        current = await self._count(tenant_id, limit)
        now, free = self._seconds(), limit - current
        credit = self._keep(
            tenant_id, _Credit(limit, max(free // _PROCESSES, 0), now + CREDIT_SECONDS, current)
        )
        if amount > free:
            credit.refuse_until = now + _KEPT_TIMES * (now - asked_at)
            raise QuotaError(self._name, limit, current)
        credit.left = max(credit.left - amount, 0)

    def _keep(self, tenant_id: str, credit: _Credit) -> _Credit:
        if len(self._credits) >= MOST_TENANTS:
            self._credits.clear()  # whoever has a large quota is trusted anew, others are counted
        self._credits[tenant_id] = credit
        return credit
