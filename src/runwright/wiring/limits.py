"""Admission control: what enforces the limits of tenants, those of the settings and their own."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.db.pool import Database
from runwright.jobs.store.submit import count_queued, count_running
from runwright.loops.pass_loop import PassLoop
from runwright.schedules.store.schedules import count_schedules
from runwright.tenants.model import TenantLimits
from runwright.tenants.quotas import Quota
from runwright.tenants.rate_limits import Rate, RateLimiter
from runwright.tenants.status_cache import REFRESH_SECONDS, TenantStatusCache
from runwright.tenants.usage import UsageReporter
from runwright.wiring.resources import Resources
from runwright.workers.versions import count_stored_bytes

_COUNTS: Final[Mapping[str, Callable[[Database, str, int], Awaitable[int]]]] = {
    "queued_jobs": count_queued,
    "running_jobs": count_running,
    "schedules": count_schedules,
    "stored_bytes": count_stored_bytes,
}
"""What each quota is compared with."""

_UNKNOWN_KEYS: Final = Rate(50, 2000)


class AdmissionControl(msgspec.Struct, frozen=True):
    """What requests are checked against before they are served."""

    tenant_status: TenantStatusCache
    rate_limiter: RateLimiter
    queued_jobs: Quota
    schedules: Quota
    stored_bytes: Quota
    running_limit_of: Callable[[str], int | None]
    usage: UsageReporter


async def open_admission_control(res: Resources, db: Database, stack: AsyncExitStack) -> AdmissionControl:
    cache = await _open_status_cache(res, stack)

    counts = {name: partial(count, db) for name, count in _COUNTS.items()}

    def quota(name: str) -> Quota:
        def limit_of(tenant_id: str) -> int | None:
            limit: int | None = getattr(cache.limits_of(tenant_id), name)
            return limit

        return Quota(name, limit_of=limit_of, count=counts[name])

    return AdmissionControl(
        tenant_status=cache,
        rate_limiter=RateLimiter(_default_rate(res.settings), rate_of=cache.rate_of),
        queued_jobs=quota("queued_jobs"),
        schedules=quota("schedules"),
        stored_bytes=quota("stored_bytes"),
        running_limit_of=lambda tenant_id: cache.limits_of(tenant_id).running_jobs,
        usage=UsageReporter(counts, limits_of=cache.limits_of, clock=res.clock),
    )


async def _open_status_cache(res: Resources, stack: AsyncExitStack) -> TenantStatusCache:
    cache = TenantStatusCache(res.db, default_limits=_default_limits(res.settings))
    await cache.refresh()

    async def refresh() -> float:
        await cache.refresh()
        return REFRESH_SECONDS

    loop = PassLoop("tenant status", refresh, emit=res.emit)
    stack.push_async_callback(loop.stop)
    loop.start()
    return cache


def _default_limits(settings: Settings) -> TenantLimits:
    return TenantLimits(
        requests_per_second=settings.rate_limit_per_second or None,
        request_burst=settings.rate_limit_burst,
        queued_jobs=settings.quota_queued_jobs or None,
        running_jobs=settings.quota_running_jobs or None,
        schedules=settings.quota_schedules or None,
        stored_bytes=settings.quota_stored_bytes or None,
    )


def unknown_key_limiter(settings: Settings) -> RateLimiter | None:
    """Return the rate limit by address for requests with unknown keys; None in development mode."""
    return None if settings.dev else RateLimiter(_UNKNOWN_KEYS)


def _default_rate(settings: Settings) -> Rate | None:
    if settings.dev or settings.rate_limit_per_second == 0:
        return None
    return Rate(settings.rate_limit_per_second, settings.rate_limit_burst)
