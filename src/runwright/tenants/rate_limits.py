"""How many requests a tenant may make: a bucket of tokens each, in the memory of this process.

A bucket holds `burst` tokens, a request takes one, and `per_second` come back. What is kept of a
bucket is one number: the moment at which it will be full again (the generic cell rate algorithm).
A bucket that is full is as good as none, so forgetting those bounds the memory; where more than
`MOST_BUCKETS` are in use at once, the fuller half is forgotten too, in favour of its tenants.

Each process counts for itself: behind several of them a tenant has as many buckets.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import msgspec

MOST_BUCKETS: Final = 100_000
_ROUNDING: Final = 1e-6
"""Tokens that arithmetic may lose."""


class Rate(msgspec.Struct, frozen=True):
    """How fast requests may come, and how many at once."""

    per_second: float
    burst: int


class Allowance(msgspec.Struct, frozen=True):
    """Where a tenant's bucket stands after a request; `retry_after` is None where the request may pass."""

    limit: int
    remaining: int
    reset_at: int
    """When the bucket is full again: seconds since 1970."""
    retry_after: int | None = None
    """Whole seconds after which one more request may pass."""


class RateLimiter:
    """The buckets of all tenants. Nothing here waits."""

    def __init__(
        self,
        default: Rate | None,
        *,
        rate_of: Callable[[str], Rate | None] = lambda _tenant_id: None,
        seconds: Callable[[], float] = time.monotonic,
        wall_seconds: Callable[[], float] = time.time,
        most_buckets: int = MOST_BUCKETS,
    ) -> None:
        """`default` is the rate of every tenant that `rate_of` says nothing about; None: no limit."""
        self._default = default
        self._rate_of = rate_of
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self._most_buckets = most_buckets
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._full_at)

    def take(self, tenant_id: str) -> Allowance | None:
        """Take a token of the tenant's; returns None where it has no limit."""
        rate = self._rate_of(tenant_id) or self._default
        if rate is None:
            return None
        now = self._seconds()
        capacity, price = rate.burst / rate.per_second, 1 / rate.per_second
        # In seconds of refilling; where the rate was changed meanwhile, a bucket is empty at worst.
        lacking = min(max(self._full_at.get(tenant_id, 0.0) - now, 0.0), capacity)
        left = (capacity - lacking - price) * rate.per_second
        if left < -_ROUNDING:
            wait = math.ceil(lacking + price - capacity)
            return Allowance(rate.burst, 0, self._reset_at(lacking), max(wait, 1))
        if len(self._full_at) >= self._most_buckets and tenant_id not in self._full_at:
            self._forget(now)
        self._full_at[tenant_id] = now + lacking + price
        return Allowance(rate.burst, int(left + _ROUNDING), self._reset_at(lacking + price))

    def _reset_at(self, lacking: float) -> int:
        return math.ceil(self._wall_seconds() + lacking)

    def _forget(self, now: float) -> None:
        self._full_at = {tenant: at for tenant, at in self._full_at.items() if at > now}
        excess = len(self._full_at) - self._most_buckets // 2
        if excess > 0:
            for tenant in sorted(self._full_at, key=self._full_at.__getitem__)[:excess]:
                del self._full_at[tenant]
