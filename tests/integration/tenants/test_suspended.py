"""Nothing of a suspended tenant starts; what waited continues when it is active again."""

from datetime import timedelta

import pytest

from runwright.core.clock import system_clock
from runwright.core.errors import ConflictError, NotFoundError, TenantSuspendedError
from runwright.core.job_state import JobStatus
from runwright.core.roles import Caller, Role
from runwright.db.pool import Pool
from runwright.tenants.model import LimitChanges, NewTenant, TenantChanges, TenantLimits, TenantStatus
from runwright.tenants.status_cache import TenantStatusCache
from runwright.tenants.tenants import Tenants
from tests.integration.jobs.world import World as JobWorld
from tests.integration.outbox.world import World as DeliveryWorld
from tests.integration.schedules.world import ScheduleWorld

OPERATOR = Caller("ten_operator", "usr_op", Role.PLATFORM_ADMIN, "platform", by_platform=True)


@pytest.fixture
def tenants(database: Pool) -> Tenants:
    return Tenants(database, clock=system_clock)


async def suspend(tenants: Tenants, tenant_id: str = "ten_a") -> None:
    await tenants.change(OPERATOR, tenant_id, TenantChanges(status=TenantStatus.SUSPENDED))


async def reactivate(tenants: Tenants, tenant_id: str = "ten_a") -> None:
    await tenants.change(OPERATOR, tenant_id, TenantChanges(status=TenantStatus.ACTIVE))


async def test_its_jobs_wait_those_that_run_go_on_and_nobody_else_is_touched(
    database: Pool, tenants: Tenants
) -> None:
    world = JobWorld(database)
    await world.executor()
    worker = await world.worker()
    await world.job(worker)
    [running] = await world.claim()
    waiting = await world.job(worker)
    others = await world.job(await world.worker("ten_b"))
    await suspend(tenants)
    assert [job.job_id for job in await world.claim()] == [others.id]
    why = await world.job_views.explain("ten_a", waiting.id)
    assert "tenant_suspended" in [reason.code for reason in why.reasons]
    await world.finish(world.end_of(running))
    assert (await world.jobs.get("ten_a", running.job_id)).status is JobStatus.COMPLETED
    with pytest.raises(TenantSuspendedError):
        await world.job(worker)
    await reactivate(tenants)
    assert [job.job_id for job in await world.claim()] == [waiting.id]
    await world.job(worker)


async def test_its_ticks_are_skipped_and_say_so(database: Pool, tenants: Tenants) -> None:
    world = ScheduleWorld(database)
    schedule = await world.schedule(await world.worker())
    await suspend(tenants)
    world.forward(60)
    assert (await world.fire()).skipped == 1
    await reactivate(tenants)
    world.forward(60)
    assert (await world.fire()).fired == 1
    assert await world.outcomes(schedule) == [
        ("12:01:00", "skipped", "tenant_suspended"),
        ("12:02:00", "fired", None),
    ]


async def test_its_deliveries_wait(database: Pool, tenants: Tenants) -> None:
    world = DeliveryWorld(database)
    await world.endpoint()
    await world.endpoint("ten_b")
    for tenant in ("ten_a", "ten_b"):
        await world.event(tenant)
    assert await world.route() == 2
    await suspend(tenants)
    assert [delivery.event.tenant_id for delivery in await world.claim()] == ["ten_b"]
    world.forward(timedelta(days=1).total_seconds())
    await reactivate(tenants)
    assert "ten_a" in {delivery.event.tenant_id for delivery in await world.claim()}


async def test_every_process_learns_of_a_change_and_remembers_only_the_unusual(
    database: Pool, tenants: Tenants
) -> None:
    await tenants.create(OPERATOR, NewTenant(id="ten_a"))
    await tenants.create(OPERATOR, NewTenant(id="ten_b", limits=TenantLimits(queued_jobs=7)))
    defaults = TenantLimits(requests_per_second=10, request_burst=20, queued_jobs=100)
    here, elsewhere = (
        TenantStatusCache(database, default_limits=defaults),
        TenantStatusCache(database, default_limits=defaults),
    )
    for cache in (here, elsewhere):
        await cache.refresh()
        cache.require_active("ten_a")
        assert cache.limits_of("ten_a") is defaults
        assert cache.limits_of("ten_b") == TenantLimits(
            requests_per_second=10, request_burst=20, queued_jobs=7
        )
        assert cache.rate_of("ten_b") is None
    await suspend(tenants)
    await tenants.change(
        OPERATOR, "ten_b", TenantChanges(limits=LimitChanges(queued_jobs=None, requests_per_second=3))
    )
    late = TenantStatusCache(database, default_limits=defaults)
    for cache in (here, elsewhere, late):
        await cache.refresh()
        with pytest.raises(TenantSuspendedError):
            cache.require_active("ten_a")
        rate = cache.rate_of("ten_b")
        assert rate is not None
        assert (rate.per_second, rate.burst) == (3, 20)
        assert cache.limits_of("ten_b").queued_jobs == 100
    await reactivate(tenants)
    await tenants.change(OPERATOR, "ten_b", TenantChanges(limits=LimitChanges(requests_per_second=None)))
    for cache in (here, elsewhere, late):
        await cache.refresh()
        cache.require_active("ten_a")
        assert cache.rate_of("ten_b") is None
        assert len(cache) == 0


async def test_a_change_that_is_committed_late_is_not_overlooked(database: Pool, tenants: Tenants) -> None:
    await tenants.create(OPERATOR, NewTenant(id="ten_a"))
    cache = TenantStatusCache(database)
    await cache.refresh()
    async with database.acquire() as other, other.transaction():
        await other.execute("UPDATE tenants SET status = 'suspended', changed_at = clock_timestamp()")
        for _ in range(3):
            await cache.refresh()
        cache.require_active("ten_a")
    await cache.refresh()
    with pytest.raises(TenantSuspendedError):
        cache.require_active("ten_a")


async def test_what_is_not_there_or_there_already_is_said(tenants: Tenants) -> None:
    with pytest.raises(NotFoundError):
        await suspend(tenants, "ten_nobody")
    await tenants.create(OPERATOR, NewTenant(id="ten_a"))
    with pytest.raises(ConflictError):
        await tenants.create(OPERATOR, NewTenant(id="ten_a"))
