"""Calling agents: signed, tried again inside the window, and the first decision stands."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime

import msgspec
import pytest

from runwright.agents.calls import RETRY_SECONDS
from runwright.agents.model import (
    DECISION_WINDOW,
    LONGEST_REASON,
    Action,
    AgentCall,
    AgentFields,
    CallOutcome,
    ExecutionStatus,
    decision_of,
)
from runwright.agents.store.calls import AGENT_QUEUE, MAX_CLAIMED_PER_AGENT, load_calls, settle_calls
from runwright.agents.worker_jobs import submit_jobs
from runwright.db.pool import open_pool
from runwright.outbox.queue import Settlement, claim_due, release_claims
from runwright.telemetry.events import OutboxSetAside
from tests.integration.agents.telephone import ACCEPTED, Asked, Telephone, signature
from tests.integration.agents.world import World


@pytest.fixture
async def telephone(database_url: str) -> AsyncIterator[Telephone]:
    db = await open_pool(database_url, max_size=8, by_key=True)
    async with Telephone(World(db), callers=2).connected() as telephone:
        yield telephone
    await db.close()


def approving(_: Asked) -> tuple[int, bytes]:
    return 200, json.dumps({"action": "approve", "reason": "fine", "metadata": {"a": 1}}).encode()


async def approve(asked: Asked) -> tuple[int, bytes]:
    return approving(asked)


async def test_an_answer_with_an_action_decides_and_is_signed(telephone: Telephone) -> None:
    world = telephone.world
    telephone.answer = approve
    registered = await world.register(events=["result.submitted"], callback_url=f"{telephone.url}/a")
    [execution] = await world.told()
    await telephone.until_settled()
    [asked] = telephone.asked
    assert asked.said == {"execution": execution.id, "event": "result.submitted", "payload": {"a": 1}}
    assert f"X-Signature: {signature(registered.secret or '', asked.body)}" in asked.head
    assert (registered.secret or "?") not in asked.head
    decided = await world.executions.get("ten_a", execution.id)
    assert (decided.status, decided.action) == (ExecutionStatus.COMPLETED, Action.APPROVE)
    [event] = await world.events("agent.action")
    assert (event["reason"], event["metadata"]) == ("fine", {"a": 1})
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize(
    "answer", [b"", b"thanks", b'{"action": "explode"}', b"[1]", b'"approve"', b"[" * 100_000]
)
async def test_any_other_2xx_acknowledges_and_leaves_the_decision_open(
    telephone: Telephone, answer: bytes
) -> None:
    async def say(_: Asked) -> tuple[int, bytes]:
        return 200, answer

    telephone.answer = say
    await telephone.world.agent(callback_url=telephone.url)
    [execution] = await telephone.world.told()
    await telephone.until_settled()
    assert await telephone.world.db.fetchval("SELECT count(*) FROM outbox") == 0
    running = await telephone.world.executions.get("ten_a", execution.id)
    assert (running.status, running.error) == (ExecutionStatus.RUNNING, None)
    assert (await telephone.world.decide(running)).action is Action.APPROVE


async def test_a_failure_is_tried_up_the_ladder_and_then_has_failed(telephone: Telephone) -> None:
    async def fail(_: Asked) -> tuple[int, bytes]:
        return 500, b""

    world = telephone.world
    telephone.answer = fail
    await world.agent(callback_url=telephone.url)
    [execution] = await world.told()
    for number, pause in enumerate((0.0, *RETRY_SECONDS), start=1):
        if pause:
            world.forward(pause - 1)
            await telephone.until_settled()
            assert len(telephone.asked) == number - 1, "not before its time"
            world.forward(1)
        await telephone.until_asked(number)
        await telephone.until_settled()
    over = await world.executions.get("ten_a", execution.id)
    assert (over.status, over.error) == (ExecutionStatus.FAILED, "The callback answered 500.")
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0
    world.forward(600)
    await telephone.until_settled()
    assert len(telephone.asked) == 1 + len(RETRY_SECONDS)


async def test_an_agent_that_recovers_decides(telephone: Telephone) -> None:
    async def recover(asked: Asked) -> tuple[int, bytes]:
        return (503, b"") if len(telephone.asked) == 1 else approving(asked)

    telephone.answer = recover
    await telephone.world.agent(callback_url=telephone.url)
    [execution] = await telephone.world.told()
    await telephone.until_settled()
    pending = await telephone.world.executions.get("ten_a", execution.id)
    assert (pending.status, pending.error) == (ExecutionStatus.PENDING, "The callback answered 503.")
    telephone.world.forward(RETRY_SECONDS[0])
    await telephone.until_asked(2)
    await telephone.until_settled()
    decided = await telephone.world.executions.get("ten_a", execution.id)
    assert (decided.action, decided.error) == (Action.APPROVE, None)


@pytest.mark.parametrize("kind", ["seconds", "date"])
async def test_retry_after_is_honoured(telephone: Telephone, kind: str) -> None:
    world = telephone.world
    said = "90" if kind == "seconds" else format_datetime(world.now + timedelta(seconds=90), usegmt=True)

    async def busy(_: Asked) -> tuple[int, bytes, str]:
        return 429, b"", f"Retry-After: {said}"

    telephone.answer = busy
    await world.agent(callback_url=telephone.url)
    await world.told()
    await telephone.until_settled()
    assert await world.db.fetchval("SELECT due_at FROM outbox") == world.now + timedelta(seconds=90)


async def test_a_retry_that_would_come_too_late_is_a_failure_now(telephone: Telephone) -> None:
    async def busy(_: Asked) -> tuple[int, bytes, str]:
        return 503, b"", f"Retry-After: {int(DECISION_WINDOW.total_seconds())}"

    telephone.answer = busy
    await telephone.world.agent(callback_url=telephone.url)
    [execution] = await telephone.world.told()
    await telephone.until_settled()
    over = await telephone.world.executions.get("ten_a", execution.id)
    assert over.status is ExecutionStatus.FAILED


async def test_an_agent_that_is_gone_is_deactivated_and_what_it_has_stays_open(telephone: Telephone) -> None:
    world = telephone.world

    async def gone(_: Asked) -> tuple[int, bytes]:
        return 410, b""

    telephone.answer = gone
    agent = await world.agent(callback_url=telephone.url)
    await world.publish()
    await world.publish()
    await world.db.execute("UPDATE outbox SET due_at = due_at + interval '1 hour'")
    await world.route()
    await world.db.execute("UPDATE outbox SET due_at = due_at + interval '1 hour' WHERE failed_attempts = 0")
    first, second = sorted(await world.all(), key=lambda one: one.id)
    await world.db.execute("UPDATE outbox SET due_at = $2 WHERE id = $1", first.id, world.now)

    async def deactivated() -> bool:
        return not (await world.agents.get("ten_a", agent.id)).active

    await telephone.until(deactivated)
    known = await world.agents.get("ten_a", agent.id)
    assert known.inactive_reason == "The callback answered 410."
    assert (await world.executions.get("ten_a", first.id)).status is ExecutionStatus.FAILED
    assert (await world.executions.get("ten_a", second.id)).status is ExecutionStatus.PENDING
    assert await world.publish() == 0
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0
    again = await world.agents.change(world.caller(), agent.id, AgentFields(active=True))
    assert again.inactive_reason is None


async def test_what_was_decided_meanwhile_stays_as_it_is(telephone: Telephone) -> None:
    release = asyncio.Event()

    async def late(asked: Asked) -> tuple[int, bytes]:
        await release.wait()
        return approving(asked)

    telephone.answer = late
    await telephone.world.agent(callback_url=telephone.url)
    [execution] = await telephone.world.told()
    await telephone.until_asked(1)
    assert (await telephone.world.all())[0].status is ExecutionStatus.RUNNING
    await telephone.world.decide(execution, Action.REJECT)
    release.set()
    await telephone.until_settled()
    for caller in telephone.callers:
        await caller.stop()
    assert (await telephone.world.executions.get("ten_a", execution.id)).action is Action.REJECT
    assert len(await telephone.world.events("agent.action")) == 1


async def test_a_slow_agent_holds_up_nobody_else_and_gets_few_calls_at_once(telephone: Telephone) -> None:
    release = asyncio.Event()

    async def answer(asked: Asked) -> tuple[int, bytes]:
        if asked.path == "/slow":
            await release.wait()
            return ACCEPTED
        return approving(asked)

    world = telephone.world
    telephone.answer = answer
    await world.agent("slow", callback_url=f"{telephone.url}/slow")
    fine = await world.agent("fine", callback_url=f"{telephone.url}/fine")
    for _ in range(40):
        await world.publish()
    await world.route()

    async def decided() -> bool:
        return (await world.agents.stats(fine)).get(ExecutionStatus.COMPLETED, 0) == 40

    await telephone.until(decided)
    assert len([one for one in telephone.asked if one.path == "/slow"]) <= MAX_CLAIMED_PER_AGENT
    release.set()
    await telephone.until_settled()
    assert len(telephone.asked) == 80, "each is called once though two call"


async def test_a_caller_that_died_is_taken_over_at_the_same_step(telephone: Telephone) -> None:
    world = telephone.world
    telephone.answer = approve
    await world.agent(callback_url=telephone.url)
    await world.publish()
    await world.route()
    await telephone.until_settled()
    [execution] = await world.all()
    await world.db.execute(
        "INSERT INTO outbox (kind, id, destination_id, due_at, claimed, fence)"
        " SELECT 'agent', id, agent_id, $1, true, 1"
        " FROM executions",
        world.now + timedelta(seconds=60),
    )
    await world.db.execute(
        "UPDATE executions SET status = 'running', action = NULL, completed_at = NULL, expires_at = $1",
        world.now + DECISION_WINDOW,
    )
    await telephone.until_asked(1)
    world.forward(60)
    await telephone.until_asked(2)
    await telephone.until_settled()
    assert (await world.executions.get("ten_a", execution.id)).action is Action.APPROVE


async def test_agents_of_a_suspended_tenant_are_not_called(telephone: Telephone) -> None:
    world = telephone.world
    await world.db.execute(
        "INSERT INTO tenants (id, name, status, created_at, updated_at)"
        " VALUES ('ten_b', 'b', 'suspended', $1, $1)",
        world.now,
    )
    await world.agent(tenant="ten_b", callback_url=f"{telephone.url}/b")
    await world.agent(tenant="ten_a", callback_url=f"{telephone.url}/a")
    await world.publish(tenant="ten_b")
    await world.publish(tenant="ten_a")
    await world.route()
    await telephone.until_asked(1)
    await telephone.callers[0].loop.reached(telephone.callers[0].loop.passes + 2)
    assert [one.path for one in telephone.asked] == ["/a"]
    await world.db.execute("UPDATE tenants SET status = 'active'")
    await telephone.until_asked(2)


async def test_what_cannot_be_signed_is_no_try_of_the_agent(telephone: Telephone) -> None:
    world = telephone.world
    await world.agent(callback_url=telephone.url)
    await world.db.execute("UPDATE agent_secrets SET key_id = 'of nobody here'")
    await world.told()

    async def set_aside() -> bool:
        return bool(telephone.telemetry.of(OutboxSetAside))

    await telephone.until(set_aside)
    await telephone.until_settled()
    row = await world.db.fetchrow("SELECT failed_attempts, claimed FROM outbox")
    assert row is not None
    assert tuple(row) == (0, False)
    assert telephone.asked == []


async def test_a_caller_whose_claim_is_over_settles_nothing(world: World) -> None:
    agent = await world.agent(callback_url="https://a.example/")
    [execution] = await world.told()

    queue = msgspec.structs.replace(AGENT_QUEUE, lease_seconds=30.0)

    async def claim() -> AgentCall:
        batch = await claim_due(world.db, queue, now=world.now, limit=10, cursor=None, in_flight={})
        [call] = await load_calls(world.db, batch.claims, world.now)
        return call

    async def settle(call: AgentCall, outcome: CallOutcome) -> bool:
        settlement = Settlement(claim=call.claim, result=outcome, retry_at=outcome.retry_at)
        return bool(await settle_calls(world.db, [settlement], world.now))

    late = await claim()
    world.forward(30)
    holder = await claim()
    assert (late.claim.fence, holder.claim.fence) == (1, 2)
    for outcome in (
        CallOutcome(),
        CallOutcome(error="no", retry_at=world.now),
        CallOutcome(error="no"),
        CallOutcome(error="gone", gone=True),
    ):
        assert not await settle(late, outcome)
    assert await release_claims(world.db, [(late.claim, world.now)]) == set()
    assert await submit_jobs(world.db, [(late, "wkr_x")], lambda _: b"{}", world.now) == 0
    running = await world.executions.get("ten_a", execution.id)
    assert (running.status, running.error) == (ExecutionStatus.RUNNING, None)
    assert (await world.agents.get("ten_a", agent.id)).active
    assert await settle(holder, CallOutcome(error="no"))
    assert (await world.executions.get("ten_a", execution.id)).error == "no"


def test_a_decision_is_cut_to_what_one_may_hold() -> None:
    text = json.dumps({"action": "flag", "reason": "r" * 5000, "metadata": {"a": "x" * 70_000}}).encode()
    decision = decision_of(text)
    assert decision is not None
    assert (decision.action, len(decision.reason or ""), decision.metadata) == (
        Action.FLAG,
        LONGEST_REASON,
        None,
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"{}",
        b'{"action": null}',
        b'{"action": ["approve"]}',
        b"\xff",
        b'{"action": "skip", "reason": "\\ud800"}',
    ],
)
def test_what_holds_no_decision(text: bytes) -> None:
    assert decision_of(text) is None


async def test_agents_of_a_suspended_tenant_are_not_called_until_it_works_again(telephone: Telephone) -> None:
    world = telephone.world
    telephone.answer = approve
    for tenant in ("ten_a", "ten_b"):
        await world.agent(tenant=tenant, callback_url=f"{telephone.url}/{tenant}")
    await world.db.execute(
        "INSERT INTO tenants (id, status, created_at, updated_at) VALUES ('ten_a', 'suspended', $1, $1)"
        " ON CONFLICT (id) DO UPDATE SET status = 'suspended'",
        world.now,
    )
    for tenant in ("ten_a", "ten_b"):
        await world.publish(tenant=tenant)
    await world.route()
    await telephone.until_asked(1)
    passes = telephone.callers[0].loop.passes
    telephone.callers[0].loop.wake()
    await telephone.callers[0].loop.reached(passes + 1)
    assert [asked.path for asked in telephone.asked] == ["/ten_b"]
    await world.db.execute("UPDATE tenants SET status = 'active'")
    await telephone.until_settled()
    assert sorted(asked.path for asked in telephone.asked) == ["/ten_a", "/ten_b"]
