"""What tenants may do and have: the settings for all of them, and what their rows say of some."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.db.pool import Database
from runwright.jobs.store.submit import count_queued
from runwright.loops.pass_loop import PassLoop
from runwright.schedules.store.definitions import count_schedules
from runwright.tenants.model import TenantLimits
from runwright.tenants.quotas import Quota
from runwright.tenants.rate_limits import Rate, RateLimiter
from runwright.tenants.status_cache import LOOK_SECONDS, TenantStatusCache
from runwright.wiring.resources import Resources
from runwright.workers.versions import count_stored_bytes

_STRANGERS: Final = Rate(50, 2000)


class Bounds(msgspec.Struct, frozen=True):
    """The limits that requests meet."""

    standings: TenantStatusCache
    limiter: RateLimiter
    queued_jobs: Quota
    schedules: Quota
    stored_bytes: Quota
    running_limit_of: Callable[[str], int | None]


async def set_bounds(f: Resources, db: Database, stack: AsyncExitStack) -> Bounds:
    standings = await _watch_standings(f, stack)

    def quota(name: str, count: Callable[[Database, str, int], Awaitable[int]]) -> Quota:
        def limit_of(tenant_id: str) -> int | None:
            limit: int | None = getattr(standings.limits_of(tenant_id), name)
            return limit

        return Quota(name, limit_of=limit_of, count=lambda tenant_id, bound: count(db, tenant_id, bound))

    return Bounds(
        standings=standings,
        limiter=RateLimiter(_rate_limit(f.settings), rate_of=standings.rate_of),
        queued_jobs=quota("queued_jobs", count_queued),
        schedules=quota("schedules", count_schedules),
        stored_bytes=quota("stored_bytes", count_stored_bytes),
        running_limit_of=lambda tenant_id: standings.limits_of(tenant_id).running_jobs,
    )


async def _watch_standings(f: Resources, stack: AsyncExitStack) -> TenantStatusCache:
    standings = TenantStatusCache(f.db, usual=usual_limits(f.settings))
    await standings.refresh()

    async def look() -> float:
        await standings.refresh()
        return LOOK_SECONDS

    loop = PassLoop("standings", look, emit=f.emit)
    stack.push_async_callback(loop.stop)
    loop.start()
    return standings


def usual_limits(settings: Settings) -> TenantLimits:
    """Return the limits of a tenant that has none of its own."""
    return TenantLimits(
        requests_per_second=settings.rate_limit_per_second or None,
        request_burst=settings.rate_limit_burst,
        queued_jobs=settings.quota_queued_jobs or None,
        running_jobs=settings.quota_running_jobs or None,
        schedules=settings.quota_schedules or None,
        stored_bytes=settings.quota_stored_bytes or None,
    )


def strangers(settings: Settings) -> RateLimiter | None:
    """Return how many keys that nobody knows an address may try."""
    return None if settings.dev else RateLimiter(_STRANGERS)


def _rate_limit(settings: Settings) -> Rate | None:
    if settings.dev or settings.rate_limit_per_second == 0:
        return None
    return Rate(settings.rate_limit_per_second, settings.rate_limit_burst)
