"""Publishing: what is said is in the log once per key, with where it comes from; our own facts are ours."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from runwright.core.errors import ConflictError
from runwright.db.pool import Pool
from runwright.events.model import Event
from runwright.events.publish import (
    KEY_TTL,
    MAX_DEPTH,
    OWN_FAMILIES,
    EventScope,
    PublishedEvent,
    prune_event_keys,
    publish_event,
    too_deep,
    type_problem,
)
from runwright.events.store import append_event, subscribe, take_queued_events
from runwright.jobs.completion_callbacks import record_ancestry
from tests.integration.jobs.world import START, World


async def publish(
    db: Pool, type: str = "custom.said", *, key: str | None = None, now: int = 0, tenant: str = "ten_a"
) -> PublishedEvent:
    async with db.acquire() as connection, connection.transaction():
        at = START + timedelta(seconds=now)
        return await publish_event(connection, tenant, type, {"a": 1}, at, key, ("agt_x",))


async def want(db: Pool, subscriber: str, *patterns: str) -> None:
    async with db.acquire() as connection, connection.transaction():
        await subscribe(connection, tenant_id="ten_a", subscriber_id=subscriber, patterns=patterns)


async def take(db: Pool, **bounds: int) -> list[tuple[Event, list[str]]]:
    async with db.acquire() as connection, connection.transaction():
        wanted = await take_queued_events(connection, **({"limit": 100} | bounds))
        return [(one.event, one.subscriber_ids) for one in wanted]


async def test_a_subscriber_gets_what_was_said_and_where_it_comes_from(database: Pool) -> None:
    await want(database, "wh_a", "custom.*")
    published = await publish(database)
    [(event, who)] = await take(database)
    assert who == ["wh_a"]
    assert event == published.event
    assert (msgspec.json.decode(event.data or b""), event.ancestry) == ({"a": 1}, ("agt_x",))


async def test_a_key_stands_for_one_event_also_for_those_who_come_together(database: Pool) -> None:
    several = await asyncio.gather(*(publish(database, key="k") for _ in range(5)))
    assert len({one.event.position for one in several}) == 1
    assert sorted(one.replayed for one in several) == [False, True, True, True, True]
    assert several[0].event.ancestry == ("agt_x",)
    assert await database.fetchval("SELECT count(*) FROM events") == 1
    with pytest.raises(ConflictError):
        await publish(database, "custom.other", key="k")
    other = await publish(database, key="k", tenant="ten_b")
    assert not other.replayed


async def test_a_key_stands_for_nothing_after_a_day(database: Pool) -> None:
    await publish(database, key="k")
    later = int(KEY_TTL.total_seconds())
    assert (await publish(database, key="k", now=later - 1)).replayed
    assert await prune_event_keys(database, now=START + KEY_TTL - timedelta(seconds=1), limit=10) == 0
    assert not (await publish(database, key="k", now=later)).replayed
    assert await prune_event_keys(database, now=START + KEY_TTL, limit=10) == 0
    assert await prune_event_keys(database, now=START + 2 * KEY_TTL, limit=10) == 1


async def test_the_events_of_a_job_that_an_agent_caused_say_so(database: Pool) -> None:
    world = World(database)
    await want(database, "wh_a", "job.*")
    worker = await world.worker()
    caused, asked = await world.job(worker), await world.job(worker)
    async with database.acquire() as connection, connection.transaction():
        await record_ancestry(connection, [caused.id], ["agt_a", "agt_b"])
        await append_event(
            connection, tenant_id="ten_a", type="webhook.test", subject_id=caused.id, now=START
        )
    await world.executor()
    await world.finish(*[world.end_of(job) for job in await world.claim()])
    ancestry = {e.subject_id: e.ancestry for e, _ in await take(database) if e.type == "job.completed"}
    assert ancestry == {caused.id: ("agt_a", "agt_b"), asked.id: ()}


async def test_a_take_weighs_no_more_than_it_may_and_loses_nothing(database: Pool) -> None:
    for number in range(4):
        await want(database, f"agt_{number}", "custom.*")
    said = [await publish(database) for _ in range(5)]
    seen = []
    for expected in (2, 2, 1, 0):
        taken = await take(database, weight=5)
        assert len(taken) == expected
        seen += [event.position for event, _ in taken]
    assert seen == [one.event.position for one in said]
    await publish(database)
    assert len(await take(database, weight=1)) == 1, "one is always taken"


async def test_tenants_take_turns_where_not_all_events_are_taken(database: Pool) -> None:
    await want(database, "agt_a", "custom.*")
    async with database.acquire() as connection, connection.transaction():
        await subscribe(connection, tenant_id="ten_b", subscriber_id="agt_b", patterns=["custom.*"])
    for _ in range(5):
        await publish(database)
    await publish(database, tenant="ten_b")
    taken = await take(database, weight=2)
    assert sorted(event.tenant_id for event, _ in taken) == ["ten_a", "ten_b"]


async def test_events_that_say_much_weigh_much(database: Pool) -> None:
    await want(database, "agt_a", "custom.*")
    async with database.acquire() as connection, connection.transaction():
        for _ in range(3):
            text = {"text": "x" * 10_240}
            await publish_event(connection, "ten_a", "custom.long", text, START)
    assert [len(await take(database, weight=12)) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(
    "type", [*(f"{family}.x" for family in sorted(OWN_FAMILIES)), "custom", "Custom.x", "a..b"]
)
def test_what_nobody_may_publish_is_refused(type: str) -> None:
    assert type_problem(type)


@pytest.mark.parametrize("type", ["custom.order-1.paid", "result.submitted", "x.y"])
def test_what_may_be_published(type: str) -> None:
    assert type_problem(type) is None


def test_a_chain_ends() -> None:
    assert not too_deep(["agt_x"] * (MAX_DEPTH - 1))
    assert too_deep(["agt_x"] * MAX_DEPTH)


async def test_a_scope_is_kept(database: Pool) -> None:
    async with database.acquire() as connection, connection.transaction():
        scope = EventScope(subject_id="s", project="p", task_type="t")
        await publish_event(connection, "ten_a", "custom.x", {}, START, scope=scope)
    row = await database.fetchrow("SELECT subject_id, project, task_type FROM events")
    assert row is not None
    assert tuple(row) == ("s", "p", "t")
