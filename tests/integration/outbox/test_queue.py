"""The law of deliveries: made once, claimed by one, tried by the ladder, fair to all."""

import asyncio

from runwright.core.paging import PageRequest
from runwright.outbox.model import DeliveryStatus, EndpointChanges, EndpointStatus
from runwright.outbox.store.history import sweep_deliveries_of_deleted
from runwright.outbox.store.queue import Settlement, settle_deliveries
from tests.integration.outbox.world import World


async def _statuses(world: World, endpoint_id: str) -> list[DeliveryStatus]:
    listing = await world.endpoints.deliveries("ten_a", endpoint_id, None, PageRequest(per_page=100))
    return [row.status for row in listing.rows]


async def _status(world: World, endpoint_id: str) -> EndpointStatus:
    return (await world.endpoints.get("ten_a", endpoint_id)).status


async def test_an_event_makes_one_delivery_for_each_endpoint_that_wants_it(world: World) -> None:
    await world.endpoint(patterns=["job.completed"])
    await world.endpoint(patterns=["job.*", "*"])
    await world.endpoint(patterns=["worker.*"])
    await world.endpoint("ten_b")
    await world.event()
    assert await world.route() == 2
    assert await world.route() == 0
    assert len(await world.claim()) == 2


async def test_an_event_that_nobody_wants_is_not_queued_and_an_endpoint_gets_none_from_before_it(
    world: World,
) -> None:
    await world.event()
    assert await world.count("event_queue") == 0
    await world.endpoint()
    await world.event(type="worker.created")
    assert await world.count("event_queue") == 0
    assert await world.route() == 0


async def test_events_are_hinted_at_from_the_first_endpoint_on(world: World) -> None:
    """Else the first event waits until the router looks by itself."""
    world.hints.somebody = False  # as a router says that found nobody
    endpoint = await world.endpoint()
    assert world.hints.somebody
    world.hints.somebody = False
    changes = EndpointChanges(status=EndpointStatus.PAUSED)
    await world.endpoints.change(world.caller(), endpoint.id, changes)
    assert world.hints.somebody


async def test_an_event_that_commits_late_is_routed_after_those_that_overtook_it(world: World) -> None:
    await world.endpoint()
    async with world.db.acquire() as slow:
        open_transaction = slow.transaction()
        await open_transaction.start()
        position = await slow.fetchval(
            "WITH e AS (INSERT INTO events (tenant_id, type, subject_id, created_at)"
            " VALUES ('ten_a', 'job.completed', 'slow', now()) RETURNING position)"
            " INSERT INTO event_queue SELECT position FROM e RETURNING position"
        )
        later = await world.event(subject="fast")
        assert later > position
        assert await world.route() == 1
        [parcel] = await world.claim()
        assert parcel.event.subject_id == "fast"
        await open_transaction.commit()
    assert await world.route() == 1
    assert [p.event.subject_id for p in await world.claim()] == ["slow"]


async def test_routers_at_once_make_no_delivery_twice(world: World) -> None:
    await world.endpoint()
    for _ in range(30):
        await world.event()
    made = await asyncio.gather(*(world.route(limit=7) for _ in range(8)))
    assert sum(made) + await world.route() == 30
    assert await world.count("deliveries") == 30


async def test_a_router_that_dies_before_its_commit_leaves_the_event(world: World) -> None:
    await world.endpoint()
    await world.event()
    async with world.db.acquire() as db:
        doomed = db.transaction()
        await doomed.start()
        await db.execute("DELETE FROM event_queue")
        await doomed.rollback()
    assert await world.route() == 1


async def test_claimers_at_once_get_no_delivery_twice(world: World) -> None:
    await world.endpoint()
    await world.heal()
    for _ in range(20):
        await world.event()
    await world.route()
    ids: list[str] = []
    while claims := [c for c in await asyncio.gather(*(world.claim(limit=4) for _ in range(8))) if c]:
        ids += [parcel.delivery_id for claim in claims for parcel in claim]
    assert len(ids) == len(set(ids)) == 20


async def test_a_failed_delivery_climbs_the_documented_ladder_and_is_then_abandoned(world: World) -> None:
    endpoint = await world.endpoint()
    await world.event()
    await world.route()
    for seconds in (5, 30, 300, 1800, 7200):
        [parcel] = await world.claim()
        await world.settle(parcel, 500)
        assert await _statuses(world, endpoint.id) == [DeliveryStatus.PENDING]
        world.forward(seconds - 0.001)
        assert await world.claim() == []
        world.forward(0.001)
    [parcel] = await world.claim()
    assert await _status(world, endpoint.id) is EndpointStatus.ACTIVE
    await world.settle(parcel, None)
    assert await _statuses(world, endpoint.id) == [DeliveryStatus.ABANDONED]
    assert await _status(world, endpoint.id) is EndpointStatus.DEGRADED
    assert await world.count("delivery_queue") == 0
    [delivery] = (await world.endpoints.deliveries("ten_a", endpoint.id, None, PageRequest())).rows
    assert [a.number for a in delivery.attempts] == [1, 2, 3, 4, 5, 6]
    assert [a.response_status for a in delivery.attempts] == [500] * 5 + [None]


async def test_a_degraded_endpoint_is_still_sent_to_one_at_a_time_and_recovers_by_a_success(
    world: World,
) -> None:
    endpoint = await world.endpoint()
    await world.db.execute("UPDATE endpoints SET status = 'degraded'")
    for _ in range(3):
        await world.event()
    await world.route()
    [parcel] = await world.claim()
    await world.settle(parcel, 204)
    assert await _status(world, endpoint.id) is EndpointStatus.ACTIVE
    assert len(await world.claim()) == 2


async def test_410_abandons_at_once_and_nothing_more_is_made_or_sent(world: World) -> None:
    endpoint = await world.endpoint()
    await world.event()
    await world.event()
    await world.route()
    first, second = await world.claim()
    await world.settle(first, 410)
    await world.settle(second, 500)
    world.forward(10)
    assert await world.claim() == []
    await world.event()
    assert await world.count("event_queue") == 0
    assert await _status(world, endpoint.id) is EndpointStatus.DEGRADED


async def test_a_lease_that_ran_out_is_claimed_again_and_the_late_outcome_is_refused(world: World) -> None:
    endpoint = await world.endpoint()
    await world.event()
    await world.route()
    [late] = await world.claim()
    assert await world.claim() == []
    world.forward(30)
    [parcel] = await world.claim()
    assert (parcel.delivery_id, parcel.step, parcel.fence) == (late.delivery_id, 0, late.fence + 1)
    assert not await world.settle(late, 200)
    assert await _statuses(world, endpoint.id) == [DeliveryStatus.PENDING]
    assert await world.settle(parcel, 200)
    assert not await world.settle(parcel, 200)
    assert await world.count("delivery_attempts") == 1


async def test_what_is_set_aside_is_no_attempt(world: World) -> None:
    await world.endpoint()
    await world.event()
    await world.route()
    [parcel] = await world.claim()
    aside = Settlement(delivery_id=parcel.delivery_id, fence=parcel.fence, outcome=None, retry_at=world.now)
    assert await settle_deliveries(world.db, [aside]) == {parcel.delivery_id}
    [again] = await world.claim()
    assert again.step == 0
    assert await world.count("delivery_attempts") == 0


async def test_a_flood_for_one_endpoint_waits_behind_the_first_of_another(world: World) -> None:
    flooded = await world.endpoint(patterns=["job.completed"])
    for _ in range(50):
        await world.event()
    quiet = await world.endpoint(patterns=["job.failed"])
    await world.event(type="job.failed")
    await world.route()
    claimed = await world.claim(limit=2)
    assert {parcel.endpoint_id for parcel in claimed} == {flooded.id, quiet.id}


async def test_of_an_endpoint_only_so_many_are_under_way_and_fewer_where_it_fails_or_is_slow(
    world: World,
) -> None:
    await world.endpoint()
    for _ in range(150):
        await world.event()
    assert await world.route(limit=200) == 150
    untried = await world.claim()
    assert len(untried) == 4
    for parcel in untried:
        await world.settle(parcel, 200)
    first = await world.claim(limit=200)
    assert len(first) == 64
    assert await world.claim() == []
    await world.settle(first[0], 200, duration_ms=5000)
    assert await world.claim() == []
    for parcel in first[1:]:
        await world.settle(parcel, 200, duration_ms=5000)
    slow = await world.claim()
    assert len(slow) == 4
    for parcel in slow:
        await world.settle(parcel, 200)
    assert len(await world.claim()) == 64


async def test_a_tenant_has_a_bounded_share(world: World) -> None:
    for tenant in ("ten_a", "ten_a", "ten_b"):
        await world.endpoint(tenant)
    for tenant in ("ten_a", "ten_b"):
        for _ in range(10):
            await world.event(tenant)
    await world.route()
    await world.heal()
    claimed = (await world.claim_all(tenant_room=6, used={"ten_a": 2})).parcels
    tenants = [parcel.event.tenant_id for parcel in claimed]
    assert (tenants.count("ten_a"), tenants.count("ten_b")) == (4, 6)


async def test_a_claim_says_when_more_is_due(world: World) -> None:
    await world.endpoint()
    await world.event()
    await world.route()
    claimed = await world.claim_all()
    await world.settle(claimed.parcels[0], 500)
    again = await world.claim_all()
    assert (again.parcels, again.next_due) == ([], world.now.replace(second=5))


async def test_deliveries_of_a_deleted_endpoint_are_swept_and_others_stay(world: World) -> None:
    doomed, kept = await world.endpoint(), await world.endpoint()
    for _ in range(3):
        await world.event()
    await world.route()
    await world.settle((await world.claim())[0], 500)
    await world.endpoints.delete(world.caller(), doomed.id)
    world.forward(60)
    assert {parcel.endpoint_id for parcel in await world.claim()} == {kept.id}
    assert await sweep_deliveries_of_deleted(world.db, limit=2) == 2
    assert await sweep_deliveries_of_deleted(world.db, limit=2) == 1
    assert await sweep_deliveries_of_deleted(world.db, limit=2) == 0
    assert await world.count("deliveries") == 3
    assert await world.count("delivery_queue") == 3
