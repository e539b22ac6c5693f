"""A cache of credentials that were found by the digest of their text.

Valid ones are cached for `CACHE_TIME`, so that a busy one costs one query in two seconds instead of one for
each request. Concurrent requests with the same text share one query. Invalid ones are not cached, since there
is no limit to their number; lookups of texts that were not cached before are limited by address.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from runwright.core.clock import Clock
from runwright.core.errors import RateLimitedError
from runwright.db.patience import Wait, unhurried
from runwright.tenants.rate_limits import RateLimiter

CACHE_TIME: Final = timedelta(seconds=2)
MOST_CACHED: Final = 10_000

T = TypeVar("T")


class CredentialCache(Generic[T]):
    """Finds credentials by digest. `fetch` returns one and until when it is valid; None if there is none."""

    def __init__(
        self,
        fetch: Callable[[bytes, datetime], Awaitable[tuple[T, datetime | None] | None]],
        *,
        clock: Clock,
        unknown: RateLimiter | None,
    ) -> None:
        """`unknown` limits the lookups of texts that are not cached, by address."""
        self._fetch = fetch
        self._clock = clock
        self._unknown = unknown
        self._cached: dict[bytes, tuple[T, datetime]] = {}
        self._lookups: dict[bytes, asyncio.Task[T | None]] = {}

    async def find(self, digest: bytes, address: str | None) -> T | None:
        """Return the credential with this digest. RateLimitedError after too many unknown ones."""
        known = self._cached.get(digest)
        if known is not None and self._clock() < known[1]:
            return known[0]
        if known is None and address is not None:
            self.limit(address)
        # Shielded: other requests may wait for the same lookup when this one is cancelled.
        async with Wait():
            return await asyncio.shield(self._look_up(digest))

    def clear(self) -> None:
        """Forget all, because one has changed."""
        self._cached.clear()

    def limit(self, address: str) -> None:
        """Charge one unknown credential to an address; RateLimitedError."""
        bucket = None if self._unknown is None else self._unknown.take(address)
        if bucket is not None and bucket.retry_after is not None:
            message = f"Too many unknown API keys from this address; try again in {bucket.retry_after} s."
            raise RateLimitedError(message, retry_after=bucket.retry_after)

    def _look_up(self, digest: bytes) -> asyncio.Task[T | None]:
        task = self._lookups.get(digest)
        if task is None:
            with unhurried():
                task = asyncio.create_task(self._read(digest))
            self._lookups[digest] = task
            task.add_done_callback(lambda _: self._lookups.pop(digest))
        return task

    async def _read(self, digest: bytes) -> T | None:
        now = self._clock()
        found = await self._fetch(digest, now)
        if found is None:
            self._cached.pop(digest, None)
            return None
        if len(self._cached) >= MOST_CACHED:
            self._cached.clear()
        credential, until = found
        kept_until = now + CACHE_TIME
        self._cached[digest] = credential, kept_until if until is None else min(until, kept_until)
        return credential
