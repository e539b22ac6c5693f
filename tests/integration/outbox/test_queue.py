"""Deliveries in the outbox: created once, claimed by one, retried by the policy, fair to all."""

import asyncio
from collections import Counter

import msgspec

from runwright.core.ids import EndpointId
from runwright.core.paging import PageRequest
from runwright.outbox.queue import InFlight, OutboxQueue, release_claims
from runwright.webhooks.model import DeliveryStatus, EndpointStatus, WebhookEndpointPatch
from runwright.webhooks.store.deliveries import prune_orphaned_deliveries
from runwright.webhooks.store.outgoing import WEBHOOK_QUEUE
from tests.integration.outbox.world import World


async def _statuses(world: World, endpoint_id: str) -> list[DeliveryStatus]:
    listing = await world.endpoints.deliveries(
        "ten_a", EndpointId(endpoint_id), None, PageRequest(per_page=100)
    )
    return [row.status for row in listing.rows]


async def _status(world: World, endpoint_id: str) -> EndpointStatus:
    return (await world.endpoints.get("ten_a", EndpointId(endpoint_id))).status


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
    world.event_notifications.any_subscriptions = False  # as a router says that found nobody
    endpoint = await world.endpoint()
    assert world.event_notifications.any_subscriptions
    world.event_notifications.any_subscriptions = False
    changes = WebhookEndpointPatch(status=EndpointStatus.PAUSED)
    await world.endpoints.change(world.caller(), endpoint.id, changes)
    assert world.event_notifications.any_subscriptions


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
        [delivery] = await world.claim()
        assert delivery.event.subject_id == "fast"
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
        ids += [delivery.claim.id for claim in claims for delivery in claim]
    assert len(ids) == len(set(ids)) == 20


async def test_a_failed_delivery_climbs_the_documented_ladder_and_is_then_abandoned(world: World) -> None:
    endpoint = await world.endpoint()
    await world.event()
    await world.route()
    for seconds in (5, 30, 300, 1800, 7200):
        [delivery] = await world.claim()
        await world.settle(delivery.claim, 500)
        assert await _statuses(world, endpoint.id) == [DeliveryStatus.PENDING]
        world.forward(seconds - 0.001)
        assert await world.claim() == []
        world.forward(0.001)
    [delivery] = await world.claim()
    assert await _status(world, endpoint.id) is EndpointStatus.ACTIVE
    await world.settle(delivery.claim, None)
    assert await _statuses(world, endpoint.id) == [DeliveryStatus.ABANDONED]
    assert await _status(world, endpoint.id) is EndpointStatus.DEGRADED
    assert await world.count("outbox") == 0
    [stored] = (await world.endpoints.deliveries("ten_a", endpoint.id, None, PageRequest())).rows
    assert [a.number for a in stored.attempts] == [1, 2, 3, 4, 5, 6]
    assert [a.response_status for a in stored.attempts] == [500] * 5 + [None]


async def test_a_degraded_endpoint_is_still_sent_to_one_at_a_time_and_recovers_by_a_success(
    world: World,
) -> None:
    endpoint = await world.endpoint()
    await world.db.execute("UPDATE endpoints SET status = 'degraded'")
    for _ in range(3):
        await world.event()
    await world.route()
    [delivery] = await world.claim()
    await world.settle(delivery.claim, 204)
    assert await _status(world, endpoint.id) is EndpointStatus.ACTIVE
    assert len(await world.claim()) == 2


async def test_410_abandons_at_once_and_nothing_more_is_made_or_sent(world: World) -> None:
    endpoint = await world.endpoint()
    await world.event()
    await world.event()
    await world.route()
    first, second = await world.claim()
    await world.settle(first.claim, 410)
    await world.settle(second.claim, 500)
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
    [delivery] = await world.claim()
    assert (delivery.claim.id, delivery.claim.failed_attempts, delivery.claim.fence) == (
        late.claim.id,
        0,
        late.claim.fence + 1,
    )
    assert not await world.settle(late.claim, 200)
    assert await _statuses(world, endpoint.id) == [DeliveryStatus.PENDING]
    assert await world.settle(delivery.claim, 200)
    assert not await world.settle(delivery.claim, 200)
    assert await world.count("delivery_attempts") == 1


async def test_what_is_set_aside_is_no_attempt(world: World) -> None:
    await world.endpoint()
    await world.event()
    await world.route()
    [delivery] = await world.claim()
    assert await release_claims(world.db, [(delivery.claim, world.now)]) == {delivery.claim.id}
    [again] = await world.claim()
    assert again.claim.failed_attempts == 0
    assert await world.count("delivery_attempts") == 0


async def test_a_flood_for_one_endpoint_waits_behind_the_first_of_another(world: World) -> None:
    flooded = await world.endpoint(patterns=["job.completed"])
    for _ in range(50):
        await world.event()
    quiet = await world.endpoint(patterns=["job.failed"])
    await world.event(type="job.failed")
    await world.route()
    claimed = await world.claim(limit=2)
    assert {delivery.claim.destination_id for delivery in claimed} == {flooded.id, quiet.id}


async def test_of_an_endpoint_only_so_many_are_under_way_and_fewer_where_it_fails_or_is_slow(
    world: World,
) -> None:
    await world.endpoint()
    for _ in range(150):
        await world.event()
    assert await world.route(limit=200) == 150
    untried = await world.claim()
    assert len(untried) == 4
    for delivery in untried:
        await world.settle(delivery.claim, 200)
    first = await world.claim(limit=200)
    assert len(first) == 64
    assert await world.claim() == []
    await world.settle(first[0].claim, 200, duration_ms=5000)
    assert await world.claim() == []
    for delivery in first[1:]:
        await world.settle(delivery.claim, 200, duration_ms=5000)
    slow = await world.claim()
    assert len(slow) == 4
    for delivery in slow:
        await world.settle(delivery.claim, 200)
    assert len(await world.claim()) == 64


async def _backlog(world: World, endpoints: dict[str, int], events: int) -> None:
    """Give tenants endpoints, which were well until now, and each of these as many deliveries."""
    for tenant, number in endpoints.items():
        for _ in range(number):
            await world.endpoint(tenant)
        for _ in range(events):
            await world.event(tenant)
    while await world.route(limit=1000):
        pass
    await world.heal()


def _queue(**limits: int) -> OutboxQueue:
    return msgspec.structs.replace(WEBHOOK_QUEUE, **limits)


async def test_a_tenant_never_has_more_connections_than_it_leaves_free(world: World) -> None:
    await _backlog(world, {"ten_a": 8}, 5)
    queue = _queue(max_in_flight=40, max_in_flight_per_tenant=32)
    assert len((await world.claim_all(queue=queue)).claims) == 20
    assert (await world.claim_all(queue=queue, in_flight=InFlight(by_tenant={"ten_a": 20}))).claims == []


async def test_tenants_with_a_backlog_leave_connections_to_one_that_comes_later(world: World) -> None:
    await _backlog(world, {f"ten_{number}": 3 for number in range(9)}, 6)
    queue = _queue(max_in_flight=40)
    taken = Counter(claim.tenant_id for claim in (await world.claim_all(queue=queue)).claims)
    assert set(taken.values()) == {4}
    await _backlog(world, {"ten_late": 1}, 2)
    later = (await world.claim_all(queue=queue, in_flight=InFlight(by_tenant=taken))).claims
    assert [claim.tenant_id for claim in later] == ["ten_late", "ten_late"]


async def test_who_has_the_least_in_flight_is_next_though_others_have_waited_for_longer(world: World) -> None:
    await _backlog(world, {"ten_a": 2}, 10)
    world.forward(60)
    await _backlog(world, {"ten_b": 1}, 1)
    in_flight = InFlight(by_tenant={"ten_a": 5})
    claims = (await world.claim_all(limit=1, in_flight=in_flight)).claims
    assert [claim.tenant_id for claim in claims] == ["ten_b"]


async def test_one_endpoint_never_has_all_connections_of_its_tenant(world: World) -> None:
    await _backlog(world, {"ten_a": 1}, 20)
    queue = _queue(max_in_flight=100, max_in_flight_per_tenant=16)
    assert len((await world.claim_all(queue=queue)).claims) == 8
    await _backlog(world, {"ten_a": 1}, 1)
    [late] = (await world.claim_all(queue=queue, in_flight=InFlight(by_tenant={"ten_a": 8}))).claims
    assert late.tenant_id == "ten_a"


async def test_slow_endpoints_have_a_part_of_the_connections_together(world: World) -> None:
    await _backlog(world, {f"ten_{number}": 4 for number in range(7)}, 2)
    await world.db.execute("UPDATE endpoints SET strained = true")
    queue = _queue(max_in_flight=64, max_slow_in_flight=16)
    slow = Counter(claim.tenant_id for claim in (await world.claim_all(queue=queue)).claims)
    assert set(slow.values()) == {2}
    await _backlog(world, {"ten_fine": 1}, 5)
    await world.db.execute("UPDATE endpoints SET strained = tenant_id <> 'ten_fine'")
    in_flight = InFlight(by_tenant=slow, slow_by_tenant=slow)
    claims = (await world.claim_all(queue=queue, in_flight=in_flight)).claims
    assert [claim.tenant_id for claim in claims] == ["ten_fine"] * 5


async def test_an_endpoint_that_this_process_finds_slow_is_slow_before_its_attempts_end(
    world: World,
) -> None:
    await _backlog(world, {"ten_a": 2}, 10)
    row = await world.db.fetchrow("SELECT min(id) AS stuck, max(id) AS fine FROM endpoints")
    assert row is not None
    in_flight = InFlight(slow_destinations={row["stuck"]})
    claims = (await world.claim_all(in_flight=in_flight)).claims
    claimed = Counter((claim.destination_id, claim.slow) for claim in claims)
    assert claimed == {(row["stuck"], True): 4, (row["fine"], False): 10}


async def test_a_claim_says_when_more_is_due(world: World) -> None:
    await world.endpoint()
    await world.event()
    await world.route()
    claimed = await world.claim_all()
    await world.settle(claimed.claims[0], 500)
    again = await world.claim_all()
    assert (again.claims, again.next_due) == ([], world.now.replace(second=5))


async def test_deliveries_of_a_deleted_endpoint_are_swept_and_others_stay(world: World) -> None:
    doomed, kept = await world.endpoint(), await world.endpoint()
    for _ in range(3):
        await world.event()
    await world.route()
    await world.settle((await world.claim())[0].claim, 500)
    await world.endpoints.delete(world.caller(), doomed.id)
    world.forward(60)
    assert {delivery.claim.destination_id for delivery in await world.claim()} == {kept.id}
    assert await prune_orphaned_deliveries(world.db, limit=2) == 2
    assert await prune_orphaned_deliveries(world.db, limit=2) == 1
    assert await prune_orphaned_deliveries(world.db, limit=2) == 0
    assert await world.count("deliveries") == 3
    assert await world.count("outbox") == 3
