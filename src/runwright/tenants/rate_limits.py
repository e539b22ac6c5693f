"""Rate limits: an in-memory token bucket for each tenant or address.

A bucket holds `burst` tokens; a request takes one, and `per_second` are added per second. The state
of a bucket is one number: the time at which it will be full (the generic cell rate algorithm). Full
buckets need no state and are evicted; if more than `MOST_BUCKETS` are in use, the fuller half is
evicted too, which is in favour of its owners.

Each process has its own buckets: with several processes, a limit applies to each of them.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import msgspec

MOST_BUCKETS: Final = 100_000
_ROUNDING: Final = 1e-6
"""Tolerance for rounding errors, in tokens."""


class Rate(msgspec.Struct, frozen=True):
    """The parameters of a token bucket."""

    per_second: float
    burst: int


class RateLimitState(msgspec.Struct, frozen=True):
    """The state of a bucket after a request; `retry_after` is None if the request is admitted."""

    limit: int
    remaining: int
    reset_at: int
    """When the bucket will be full: seconds since 1970."""
    retry_after: int | None = None
    """Seconds until the next request will be admitted, rounded up."""


class RateLimiter:
    """Token buckets by key (a tenant's id or an address). It never blocks."""

    def __init__(
        self,
        default: Rate | None,
        *,
        rate_of: Callable[[str], Rate | None] = lambda _key: None,
        seconds: Callable[[], float] = time.monotonic,
        wall_seconds: Callable[[], float] = time.time,
        most_buckets: int = MOST_BUCKETS,
    ) -> None:
        """`default` applies to every key that `rate_of` returns None for; None is no limit."""
        self._default = default
        self._rate_of = rate_of
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self._most_buckets = most_buckets
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of buckets in memory."""
        return len(self._full_at)

    def take(self, key: str) -> RateLimitState | None:
        """Take a token and return the state of the bucket, or None if the key has no limit."""
        rate = self._rate_of(key) or self._default
        if rate is None:
            return None
        now = self._seconds()
        capacity, price = rate.burst / rate.per_second, 1 / rate.per_second
        # In seconds of refilling. After a change of the rate, a bucket is empty at worst.
        missing = min(max(self._full_at.get(key, 0.0) - now, 0.0), capacity)
        left = (capacity - missing - price) * rate.per_second
        if left < -_ROUNDING:
            wait = math.ceil(missing + price - capacity)
            return RateLimitState(rate.burst, 0, self._reset_at(missing), max(wait, 1))
        if len(self._full_at) >= self._most_buckets and key not in self._full_at:
            self._evict(now)
        self._full_at[key] = now + missing + price
        return RateLimitState(rate.burst, int(left + _ROUNDING), self._reset_at(missing + price))

    def _reset_at(self, missing: float) -> int:
        return math.ceil(self._wall_seconds() + missing)

    def _evict(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        excess = len(self._full_at) - self._most_buckets // 2
        if excess > 0:
            for key in sorted(self._full_at, key=self._full_at.__getitem__)[:excess]:
                del self._full_at[key]
