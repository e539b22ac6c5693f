"""Executions: one per event and agent, for those who want it; the first decision stands."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from runwright.agents.model import (
    DECISION_WINDOW,
    Action,
    Agent,
    DecidedError,
    Decision,
    EventCreate,
    Execution,
    ExecutionFilter,
    ExecutionStatus,
)
from runwright.agents.opening import open_execution
from runwright.agents.store.deciding import (
    ExecutionFailure,
    fail_executions,
    next_due_at,
    return_expired_leases,
    time_out_executions,
)
from runwright.agents.store.executions import prune_executions, prune_orphaned_executions
from runwright.agents.store.opening import open_matching
from runwright.core.errors import ConflictError, InvalidError, NotFoundError
from runwright.core.ids import AgentId
from runwright.core.job_state import JobStatus
from runwright.core.paging import Window
from runwright.events.publish import MAX_DEPTH, publish_event
from runwright.events.store import take_queued_events
from runwright.telemetry.events.routing import EventChainStopped
from tests.integration.agents.world import World
from tests.integration.jobs.world import World as JobWorld


async def test_an_event_reaches_those_who_want_it(world: World) -> None:
    anybody = await world.agent("anybody")
    mine = await world.agent("mine", project="p1")
    shapes = await world.agent("shapes", task_types=["polygon", "box"])
    await world.agent("others", project="p2")
    await world.agent("other-type", events=["task.completed"])
    await world.agent("foreign", "ten_b")
    assert await world.publish(project="p1", task_type="box") == 3
    assert await world.publish() == 1
    await world.route()
    by_agent: dict[str, int] = {}
    for execution in await world.all():
        by_agent[execution.agent_id] = by_agent.get(execution.agent_id, 0) + 1
    assert by_agent == {anybody.id: 2, mine.id: 1, shapes.id: 1}
    assert await world.all("ten_b") == []


async def test_those_who_publish_at_once_are_each_told_of_their_own_event(world: World) -> None:
    await world.agent(project="p1")
    await world.agent("other", events=["custom.x"], project="p1")
    wanted = [("result.submitted" if n % 3 else "custom.x", f"p{n % 2}", n) for n in range(200)]
    said = await asyncio.gather(
        *(
            world.publisher.publish(
                world.caller(),
                EventCreate(type=type, payload=msgspec.Raw(b'{"n":%d}' % n), project=project),
            )
            for type, project, n in wanted
        )
    )
    assert [one.executions for one in said] == [n % 2 for _, _, n in wanted]
    for one, (type, project, n) in zip(said, wanted, strict=True):
        row = await world.db.fetchrow(
            "SELECT type, project, data FROM events WHERE position = $1", one.event.position
        )
        assert row is not None
        assert (row["type"], row["project"], bytes(row["data"])) == (type, project, b'{"n":%d}' % n)


async def test_an_event_is_handed_to_an_agent_once(world: World) -> None:
    agent = await world.agent()
    await world.publish()
    async with world.db.acquire() as db, db.transaction():
        [one] = await take_queued_events(db, limit=10)
        for _ in range(2):
            await open_matching(db, [(one.event, agent.id)], world.now)
    [execution] = await world.all()
    assert execution.status is ExecutionStatus.PENDING
    assert execution.started_at == execution.created_at == world.now
    assert msgspec.json.decode(execution.payload) == {"a": 1}


async def test_the_first_decision_stands_and_later_ones_are_refused(world: World) -> None:
    await world.agent()
    [execution] = await world.publish_and_route()
    results = await asyncio.gather(
        *(world.decide(execution, action) for action in (Action.APPROVE, Action.REJECT, Action.SKIP)),
        return_exceptions=True,
    )
    [decided] = [one for one in results if isinstance(one, Execution)]
    assert [type(one) for one in results].count(DecidedError) == 2
    kept = await world.executions.get("ten_a", execution.id)
    assert (kept.status, kept.action) == (ExecutionStatus.COMPLETED, decided.action)
    [event] = await world.events("agent.action")
    assert event["action"] == decided.action


async def test_a_decision_is_told_with_what_led_to_it(world: World) -> None:
    agent = await world.agent()
    async with world.db.acquire() as db, db.transaction():
        await publish_event(db, "ten_a", "result.submitted", {}, world.now, ancestry=["atm_x"])
    await world.route()
    [execution] = await world.all()
    await world.executions.decide(
        world.caller(user="usr_9"),
        execution.id,
        Decision(action=Action.REJECT, reason="blurred", metadata={"score": 0.1}),
    )
    assert await world.events("agent.action") == [
        {
            "execution_id": execution.id,
            "agent_id": agent.id,
            "agent": "qc",
            "event": "result.submitted",
            "action": "reject",
            "reason": "blurred",
            "metadata": {"score": 0.1},
            "decided_by": "usr_9",
            "ancestry": ["atm_x", agent.id],
        }
    ]


async def test_characters_that_the_database_has_no_place_for_are_kept_as_they_came(world: World) -> None:
    await world.agent(events=["custom.x"])
    await world.publish("custom.x", payload={"a": "\0", "\0": "\ufffe"})
    await world.route()
    [execution] = await world.all()
    assert msgspec.json.decode(execution.payload) == {"a": "\0", "\0": "\ufffe"}
    decision = Decision(action=Action.FLAG, reason="\0", metadata={"\0": "\0"})
    await world.executions.decide(world.caller(), execution.id, decision)
    over = Decision(action=Action.SKIP, reason="\0", metadata={"b": "\0"})
    done = await world.executions.review(world.caller(), execution.id, over)
    assert done.review is not None
    assert done.review.reason == "\0"
    said = await world.events("agent.action")
    assert [one["metadata"] for one in said] == [{"\0": "\0"}, {"b": "\0"}]


async def test_another_tenant_neither_sees_nor_decides(world: World) -> None:
    await world.agent()
    [execution] = await world.publish_and_route()
    caller = world.caller("ten_b")
    with pytest.raises(NotFoundError):
        await world.executions.get("ten_b", execution.id)
    with pytest.raises(NotFoundError):
        await world.executions.decide(caller, execution.id, Decision(action=Action.SKIP))
    with pytest.raises(NotFoundError):
        await world.executions.review(caller, execution.id, Decision(action=Action.SKIP))
    assert (await world.executions.get("ten_a", execution.id)).status is ExecutionStatus.PENDING


async def test_an_execution_times_out_and_a_late_decision_is_refused(world: World) -> None:
    await world.agent()
    [execution] = await world.publish_and_route()
    assert await next_due_at(world.db) == world.now + DECISION_WINDOW
    world.forward(DECISION_WINDOW.total_seconds() - 1)
    assert await time_out_executions(world.db, now=world.now, limit=10) == 0
    world.forward(1)
    with pytest.raises(DecidedError):  # also before the clock's pass
        await world.decide(execution)
    assert await time_out_executions(world.db, now=world.now, limit=10) == 1
    with pytest.raises(DecidedError):
        await world.decide(execution)
    over = await world.executions.get("ten_a", execution.id)
    assert (over.status, over.action) == (ExecutionStatus.TIMED_OUT, None)
    assert await world.events("agent.action") == []


async def test_a_failed_execution_says_why_and_is_over(world: World) -> None:
    await world.agent()
    [execution] = await world.publish_and_route()
    assert await fail_executions(world.db, [ExecutionFailure(execution.id, "no")], world.now) == {
        execution.id
    }
    assert await fail_executions(world.db, [ExecutionFailure(execution.id, "again")], world.now) == set()
    with pytest.raises(DecidedError):
        await world.decide(execution)
    assert (await world.executions.get("ten_a", execution.id)).error == "no"


async def test_a_lease_keeps_an_execution_from_other_pollers_until_it_is_over(world: World) -> None:
    agent = await world.agent()
    for _ in range(5):
        await world.publish_and_route()
    taken = await asyncio.gather(*(world.executions.lease(agent.id, seconds=60, limit=3) for _ in range(4)))
    ids = [one.id for some in taken for one in some]
    assert len(ids) == len(set(ids)) == 5
    assert {one.status for some in taken for one in some} == {ExecutionStatus.RUNNING}
    assert await world.all(status=ExecutionStatus.PENDING) == []
    await world.decide(await world.executions.get("ten_a", ids[0]))
    world.forward(60)
    assert await return_expired_leases(world.db, now=world.now, limit=10) == 4
    assert len(await world.all(status=ExecutionStatus.PENDING)) == 4


async def test_the_oldest_are_leased_first_and_shown_newest_first(world: World) -> None:
    agent = await world.agent()
    for _ in range(4):
        await world.publish_and_route()
    executions = await world.all()
    leased = await world.executions.lease(agent.id, seconds=60, limit=2)
    assert [one.id for one in leased] == [executions[2].id, executions[3].id]


async def test_what_we_tell_to_a_callback_is_not_leased(world: World) -> None:
    agent = await world.agent(callback_url="https://a.example/")
    await world.publish_and_route()
    assert await world.executions.lease(agent.id, seconds=60, limit=10) == []


async def test_a_flag_waits_for_a_person_whose_decision_stands(world: World) -> None:
    agent = await world.agent()
    [execution] = await world.publish_and_route()
    with pytest.raises(ConflictError):
        await world.executions.review(world.caller(), execution.id, Decision(action=Action.APPROVE))
    await world.decide(execution, Action.FLAG, "unsure")
    [waiting] = await world.all(action=Action.FLAG)
    assert waiting.id == execution.id
    with pytest.raises(InvalidError):
        await world.executions.review(world.caller(), execution.id, Decision(action=Action.FLAG))
    world.forward(5)
    decision = Decision(action=Action.APPROVE, reason="fine")
    several = await asyncio.gather(
        *(world.executions.review(world.caller(user=f"usr_{n}"), execution.id, decision) for n in range(3)),
        return_exceptions=True,
    )
    [done] = [one for one in several if isinstance(one, Execution)]
    assert done.review is not None
    assert (done.action, done.review.at, done.review.reason) == (Action.APPROVE, world.now, "fine")
    assert msgspec.json.decode(done.response or b"")["action"] == "flag"
    assert await world.all(action=Action.FLAG) == []
    told = [(one["action"], one["decided_by"]) for one in await world.events("agent.action")]
    assert told == [("flag", "usr_1"), ("approve", done.review.by)]
    assert [one["ancestry"] for one in await world.events("agent.action")] == [[agent.id]] * 2


async def test_only_a_flag_is_decided_over(world: World) -> None:
    await world.agent()
    [execution] = await world.publish_and_route()
    await world.decide(execution, Action.APPROVE)
    with pytest.raises(DecidedError):
        await world.executions.review(world.caller(), execution.id, Decision(action=Action.REJECT))


async def test_a_chain_of_agents_comes_to_an_end_that_says_so(world: World) -> None:
    agent = await world.agent(events=["custom.x"])
    for depth in (MAX_DEPTH - 1, MAX_DEPTH):
        async with world.db.acquire() as db, db.transaction():
            await publish_event(db, "ten_a", "custom.x", {}, world.now, ancestry=["agt_o"] * depth)
    await world.route()
    stopped, fine = await world.all(agent_id=agent.id)
    assert (stopped.status, fine.status) == (ExecutionStatus.FAILED, ExecutionStatus.PENDING)
    assert "chain" in (stopped.error or "")
    assert world.telemetry.events == [EventChainStopped(executions=1)]


async def test_an_agent_that_answers_its_own_decisions_stops(world: World) -> None:
    await world.agent(events=["agent.action", "custom.x"])
    await world.publish("custom.x")
    for _ in range(MAX_DEPTH + 1):
        await world.route()
        for execution in await world.all(status=ExecutionStatus.PENDING):
            await world.decide(execution)
    assert len(await world.all(status=ExecutionStatus.COMPLETED)) == MAX_DEPTH
    assert len(await world.all(status=ExecutionStatus.FAILED)) == 1


async def test_the_end_of_a_job_says_which_and_how(world: World) -> None:
    await world.agent(events=["job.failed"], patterns=["job.*"])
    jobs = JobWorld(world.db)
    worker = await jobs.worker()
    job = await jobs.job(worker)
    await jobs.executor()
    await jobs.finish(*[jobs.end_of(one, JobStatus.FAILED) for one in await jobs.claim()])
    await world.route()
    said = {one.event.type: msgspec.json.decode(one.payload) for one in await world.all()}
    failed = said["job.failed"]
    assert (failed["job_id"], failed["worker_id"], failed["status"]) == (job.id, worker.id, "failed")
    assert failed["error"]["message"] == "no"


async def test_an_event_may_be_handed_to_one_agent_alone(world: World) -> None:
    agent, other = await world.agent("a", events=[]), await world.agent("b", events=["custom.*"])
    async with world.db.acquire() as db, db.transaction():
        opened = await open_execution(
            db, "ten_a", agent.id, "custom.prompt", {"prompt": "hi"}, ["atm_x"], world.now
        )
        with pytest.raises(NotFoundError):
            await open_execution(db, "ten_b", agent.id, "custom.prompt", {}, (), world.now)
    await world.route()
    [execution] = await world.all()
    assert (execution.id, execution.agent_id, execution.event.ancestry) == (opened, agent.id, ("atm_x",))
    assert execution.agent_id != other.id


async def test_a_test_is_an_execution_like_any_other(world: World) -> None:
    agent = await world.agent(active=False)
    execution = await world.agents.test(world.caller(), agent.id)
    assert (execution.event.type, execution.status) == ("agent.test", ExecutionStatus.PENDING)
    assert (await world.decide(execution, Action.SKIP)).action is Action.SKIP


@pytest.mark.parametrize("which", [{}, {"status": ExecutionStatus.PENDING}, {"action": Action.SKIP}])
async def test_lists_go_both_ways_in_order_for_a_tenant_and_for_an_agent(
    world: World, which: dict[str, ExecutionStatus | Action]
) -> None:
    agents: list[Agent] = [await world.agent(str(n)) for n in range(3)]
    for _ in range(4):
        await world.publish_and_route()
    for number, execution in enumerate(await world.all()):
        if number % 2:
            await world.decide(execution, Action.SKIP)
    for scope in ({}, {"agent_id": agents[1].id}):
        chosen = ExecutionFilter(**which, **scope)  # type: ignore[arg-type]
        whole = (await world.executions.list("ten_a", chosen, Window(limit=100))).rows
        assert whole == sorted(whole, key=lambda one: one.id, reverse=True)
        walked: list[Execution] = []
        window = Window(limit=2)
        while (view := await world.executions.list("ten_a", chosen, window)).rows:
            walked += view.rows
            if not view.older:
                break
            window = Window(limit=2, older_than=view.rows[-1].id)
        assert walked == whole
        back = await world.executions.list("ten_a", chosen, Window(limit=100, newer_than=whole[-1].id))
        assert back.rows == whole[:-1]


async def test_old_ones_are_forgotten_and_those_of_deleted_agents_swept(world: World) -> None:
    await world.agent()
    await world.publish_and_route()
    world.forward(3600)
    await world.publish_and_route()
    before = world.now - timedelta(seconds=1)
    assert await prune_executions(world.db, before=before, limit=10) == 1
    [left] = await world.all()
    assert await prune_orphaned_executions(world.db, limit=10) == 0
    await world.agents.delete(world.caller(), AgentId(left.agent_id))
    assert await prune_orphaned_executions(world.db, limit=10) == 1
