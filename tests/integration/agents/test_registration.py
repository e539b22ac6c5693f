"""Registration: one agent per name, one secret, and what is not said stays."""

import asyncio

import pytest
from msgspec import UNSET

from runwright.agents.model import Action, AgentFields, ExecutionStatus
from runwright.core.errors import InvalidError, NotFoundError
from runwright.core.paging import Window
from tests.integration.agents.world import World
from tests.integration.jobs.world import World as JobWorld


async def test_whoever_comes_first_is_told_the_secret_and_all_get_one_agent(world: World) -> None:
    several = await asyncio.gather(*(world.register(events=["result.submitted"]) for _ in range(8)))
    assert len({one.agent.id for one in several}) == 1
    assert sorted(one.created for one in several) == [False] * 7 + [True]
    [secret] = {one.secret for one in several if one.secret is not None}
    assert len(secret) == 40
    assert [one.secret for one in several if not one.created] == [None] * 7
    assert await world.db.fetchval("SELECT count(*) FROM agent_secrets") == 1


async def test_the_secret_is_kept_sealed_and_opens_for_this_agent_alone(world: World) -> None:
    registered = await world.register(events=[], secret="my own secret")
    row = await world.db.fetchrow("SELECT key_id, sealed FROM agent_secrets")
    assert row is not None
    assert registered.secret == "my own secret"
    assert b"my own secret" not in row["sealed"]


async def test_registering_again_changes_what_is_said_and_keeps_the_rest(world: World) -> None:
    first = await world.agent(description="d", task_types=["polygon"], project="p")
    world.forward(60)
    again = await world.register(events=["task.completed"], project=None)
    assert (again.agent.id, again.agent.created_at) == (first.id, first.created_at)
    assert (again.agent.description, again.agent.task_types) == ("d", ["polygon"])
    assert (again.agent.events, again.agent.project) == (["task.completed"], None)
    assert again.agent.updated_at == world.now
    assert await world.publish("result.submitted") == 0
    assert await world.publish("task.completed", task_type="polygon") == 1


async def test_names_are_a_tenants_own(world: World) -> None:
    one, other = await world.register(events=[]), await world.register(tenant="ten_b", events=[])
    assert one.agent.id != other.agent.id
    assert other.created
    with pytest.raises(NotFoundError):
        await world.agents.get("ten_b", one.agent.id)
    with pytest.raises(NotFoundError):
        await world.agents.change(world.caller("ten_b"), one.agent.id, AgentFields(description="x"))
    with pytest.raises(NotFoundError):
        await world.agents.delete(world.caller("ten_b"), one.agent.id)
    with pytest.raises(NotFoundError):
        await world.agents.test(world.caller("ten_b"), one.agent.id)


async def test_a_name_that_is_taken_is_refused_and_changes_nothing(world: World) -> None:
    await world.agent("a")
    other = await world.agent("b")
    with pytest.raises(InvalidError) as refused:
        await world.agents.change(world.caller(), other.id, AgentFields(name="a", description="new"))
    assert set(refused.value.fields) == {"name"}
    assert await world.agents.get("ten_a", other.id) == other
    renamed = await world.agents.change(world.caller(), other.id, AgentFields(name="c"))
    assert renamed.name == "c"
    assert await world.agents.find("ten_a", "b") is None


async def test_an_inactive_agent_gets_nothing_new_and_what_it_has_stays_open(world: World) -> None:
    agent = await world.agent()
    [execution] = await world.publish_and_route()
    await world.agents.change(world.caller(), agent.id, AgentFields(active=False))
    assert await world.publish() == 0
    assert await world.route() == 0
    assert (await world.decide(execution)).status is ExecutionStatus.COMPLETED
    await world.agents.change(world.caller(), agent.id, AgentFields(active=True))
    assert len(await world.publish_and_route()) == 2


async def test_one_that_was_stopped_with_its_secret_gets_nothing_though_it_subscribes(world: World) -> None:
    await world.agent()
    await world.db.execute("UPDATE agents SET active = false, inactive_reason = 'lost'")
    assert await world.publish() == 0
    assert await world.route() == 0
    assert await world.all() == []


async def test_a_deleted_agent_is_gone_with_all_that_it_had(world: World) -> None:
    agent = await world.agent(callback_url="https://a.example/")
    [execution] = await world.publish_and_route()
    await world.agents.delete(world.caller(), agent.id)
    assert await world.all() == []
    with pytest.raises(NotFoundError):
        await world.decide(execution)
    with pytest.raises(NotFoundError):
        await world.agents.get("ten_a", agent.id)
    for table in ("agent_secrets", "outbox", "subscriptions"):
        assert await world.db.fetchval(f"SELECT count(*) FROM {table}") == 0
    again = await world.register(events=[])
    assert again.created
    assert again.agent.id != agent.id


async def test_an_agent_has_a_callback_or_a_worker_of_its_tenant(world: World) -> None:
    jobs = JobWorld(world.db)
    worker, foreign = await jobs.worker(), await jobs.worker("ten_b")
    agent = await world.agent(worker_id=worker.id)
    assert agent.worker_id == worker.id
    for fields in (
        AgentFields(callback_url="https://a.example/"),
        AgentFields(worker_id=foreign.id),
        AgentFields(worker_id="wkr_none"),
    ):
        with pytest.raises(InvalidError) as refused:
            await world.agents.change(world.caller(), agent.id, fields)
        assert set(refused.value.fields) == {"worker"}
    with pytest.raises(InvalidError):
        await world.register("other", events=[], worker_id=foreign.id)
    assert await world.agents.find("ten_a", "other") is None


async def test_statistics_count_the_states_that_there_are(world: World) -> None:
    agent = await world.agent()
    assert await world.agents.stats(agent) == {}
    for _ in range(3):
        await world.publish_and_route()
    await world.decide((await world.all())[0], Action.SKIP)
    assert await world.agents.stats(agent) == {ExecutionStatus.PENDING: 2, ExecutionStatus.COMPLETED: 1}


async def test_agents_are_listed_newest_first_and_both_ways(world: World) -> None:
    ids = [(await world.agent(str(n))).id for n in range(5)]
    await world.agent("foreign", "ten_b")
    first = await world.agents.list("ten_a", Window(limit=2))
    assert [one.id for one in first.rows] == ids[:2:-1]
    assert (first.older, first.newer) == (True, False)
    then = await world.agents.list("ten_a", Window(limit=2, older_than=first.rows[-1].id))
    back = await world.agents.list("ten_a", Window(limit=2, newer_than=then.rows[0].id))
    assert [one.id for one in then.rows] == [ids[2], ids[1]]
    assert [one.id for one in back.rows] == [ids[4], ids[3]]


def test_what_is_not_said_is_not_given() -> None:
    assert AgentFields(project=None, task_types=[]).given() == {"project": None, "task_types": []}
    assert AgentFields(name=UNSET).given() == {}
