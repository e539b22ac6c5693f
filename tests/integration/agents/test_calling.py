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
from runwright.outbox.queue import InFlight, Settlement, claim_due, release_claims
from runwright.telemetry.events.outbox import OutboxSetAside
from tests.integration.agents.callback_server import ACCEPTED, CallbackServer, Received, signature
from tests.integration.agents.world import World


@pytest.fixture
async def callback_server(database_url: str) -> AsyncIterator[CallbackServer]:
    db = await open_pool(database_url, max_size=8, by_key=True)
    async with CallbackServer(World(db), callers=2).connected() as callback_server:
        yield callback_server
    await db.close()


def approving(_: Received) -> tuple[int, bytes]:
    return 200, json.dumps({"action": "approve", "reason": "fine", "metadata": {"a": 1}}).encode()


async def approve(asked: Received) -> tuple[int, bytes]:
    return approving(asked)


async def test_an_answer_with_an_action_decides_and_is_signed(callback_server: CallbackServer) -> None:
    world = callback_server.world
    callback_server.answer = approve
    registered = await world.register(events=["result.submitted"], callback_url=f"{callback_server.url}/a")
    [execution] = await world.publish_and_route()
    await callback_server.until_settled()
    [asked] = callback_server.asked
    assert asked.json == {"execution": execution.id, "event": "result.submitted", "payload": {"a": 1}}
    assert f"X-Signature: {signature(registered.secret or '', asked.body)}" in asked.head
    assert (registered.secret or "?") not in asked.head
    decided = await world.executions.get("ten_a", execution.id)
    assert (decided.status, decided.action) == (ExecutionStatus.COMPLETED, Action.APPROVE)
    [event] = await world.events("agent.action")
    assert (event["reason"], event["metadata"]) == ("fine", {"a": 1})
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (b"", None),
        (b"thanks", None),
        (b'{"ok": true, "action": null}', None),
        (
            b'{"action": "approved"}',
            'has the action "approved"; expected a JSON object with an action: approve',
        ),
        (b'{"action": ["approve"]}', "has the action"),
        (b"[1]", "is a JSON list"),
        (b'"approve"', "is a JSON text"),
        (b'{"action": "approve"', "cannot be read"),
        (b"[" * 300_000, "has more than 262144 bytes"),
    ],
)
async def test_any_other_2xx_acknowledges_and_what_could_not_be_read_is_reported_at_once(
    callback_server: CallbackServer, answer: bytes, note: str | None
) -> None:
    async def say(_: Received) -> tuple[int, bytes]:
        return 200, answer

    callback_server.answer = say
    await callback_server.world.agent(callback_url=callback_server.url)
    [execution] = await callback_server.world.publish_and_route()
    await callback_server.until_settled()
    assert await callback_server.world.db.fetchval("SELECT count(*) FROM outbox") == 0
    running = await callback_server.world.executions.get("ten_a", execution.id)
    assert running.status is ExecutionStatus.RUNNING
    assert (note or "") in (running.error or "")
    assert (running.error is None) is (note is None)
    decided = await callback_server.world.decide(running)
    assert (decided.action, decided.error) == (Action.APPROVE, None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_a_decision_is_read_behind_a_byte_order_mark(
    callback_server: CallbackServer, encoding: str
) -> None:
    async def say(_: Received) -> tuple[int, bytes]:
        return 200, '{"action": "skip"}'.encode(encoding)

    callback_server.answer = say
    await callback_server.world.agent(callback_url=callback_server.url)
    [execution] = await callback_server.world.publish_and_route()
    await callback_server.until_settled()
    decided = await callback_server.world.executions.get("ten_a", execution.id)
    assert decided.action is Action.SKIP


async def test_a_failure_is_tried_up_the_ladder_and_then_has_failed(callback_server: CallbackServer) -> None:
    async def fail(_: Received) -> tuple[int, bytes]:
        return 500, b""

    world = callback_server.world
    callback_server.answer = fail
    await world.agent(callback_url=callback_server.url)
    [execution] = await world.publish_and_route()
    for number, pause in enumerate((0.0, *RETRY_SECONDS), start=1):
        if pause:
            world.forward(pause - 1)
            await callback_server.until_settled()
            assert len(callback_server.asked) == number - 1, "not before its time"
            world.forward(1)
        await callback_server.until_asked(number)
        await callback_server.until_settled()
    over = await world.executions.get("ten_a", execution.id)
    assert (over.status, over.error) == (ExecutionStatus.FAILED, "The callback answered 500.")
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0
    world.forward(600)
    await callback_server.until_settled()
    assert len(callback_server.asked) == 1 + len(RETRY_SECONDS)


async def test_an_agent_that_recovers_decides(callback_server: CallbackServer) -> None:
    async def recover(asked: Received) -> tuple[int, bytes]:
        return (503, b"") if len(callback_server.asked) == 1 else approving(asked)

    callback_server.answer = recover
    await callback_server.world.agent(callback_url=callback_server.url)
    [execution] = await callback_server.world.publish_and_route()
    await callback_server.until_settled()
    pending = await callback_server.world.executions.get("ten_a", execution.id)
    assert (pending.status, pending.error) == (ExecutionStatus.PENDING, "The callback answered 503.")
    callback_server.world.forward(RETRY_SECONDS[0])
    await callback_server.until_asked(2)
    await callback_server.until_settled()
    decided = await callback_server.world.executions.get("ten_a", execution.id)
    assert (decided.action, decided.error) == (Action.APPROVE, None)


@pytest.mark.parametrize("kind", ["seconds", "date"])
async def test_retry_after_is_honoured(callback_server: CallbackServer, kind: str) -> None:
    world = callback_server.world
    said = "90" if kind == "seconds" else format_datetime(world.now + timedelta(seconds=90), usegmt=True)

    async def busy(_: Received) -> tuple[int, bytes, str]:
        return 429, b"", f"Retry-After: {said}"

    callback_server.answer = busy
    await world.agent(callback_url=callback_server.url)
    await world.publish_and_route()
    await callback_server.until_settled()
    assert await world.db.fetchval("SELECT due_at FROM outbox") == world.now + timedelta(seconds=90)


async def test_a_retry_that_would_come_too_late_is_a_failure_now(callback_server: CallbackServer) -> None:
    async def busy(_: Received) -> tuple[int, bytes, str]:
        return 503, b"", f"Retry-After: {int(DECISION_WINDOW.total_seconds())}"

    callback_server.answer = busy
    await callback_server.world.agent(callback_url=callback_server.url)
    [execution] = await callback_server.world.publish_and_route()
    await callback_server.until_settled()
    over = await callback_server.world.executions.get("ten_a", execution.id)
    assert over.status is ExecutionStatus.FAILED


async def test_an_agent_that_is_gone_is_deactivated_and_what_it_has_stays_open(
    callback_server: CallbackServer,
) -> None:
    world = callback_server.world

    async def gone(_: Received) -> tuple[int, bytes]:
        return 410, b""

    callback_server.answer = gone
    agent = await world.agent(callback_url=callback_server.url)
    await world.publish()
    await world.publish()
    await world.db.execute("UPDATE outbox SET due_at = due_at + interval '1 hour'")
    await world.route()
    await world.db.execute("UPDATE outbox SET due_at = due_at + interval '1 hour' WHERE failed_attempts = 0")
    first, second = sorted(await world.all(), key=lambda one: one.id)
    await world.db.execute("UPDATE outbox SET due_at = $2 WHERE id = $1", first.id, world.now)

    async def deactivated() -> bool:
        return not (await world.agents.get("ten_a", agent.id)).active

    await callback_server.until(deactivated)
    known = await world.agents.get("ten_a", agent.id)
    assert known.inactive_reason == "The callback answered 410."
    assert (await world.executions.get("ten_a", first.id)).status is ExecutionStatus.FAILED
    assert (await world.executions.get("ten_a", second.id)).status is ExecutionStatus.PENDING
    assert await world.publish() == 0
    assert await world.db.fetchval("SELECT count(*) FROM outbox") == 0
    again = await world.agents.change(world.caller(), agent.id, AgentFields(active=True))
    assert again.inactive_reason is None


async def test_what_was_decided_meanwhile_stays_as_it_is(callback_server: CallbackServer) -> None:
    release = asyncio.Event()

    async def late(asked: Received) -> tuple[int, bytes]:
        await release.wait()
        return approving(asked)

    callback_server.answer = late
    await callback_server.world.agent(callback_url=callback_server.url)
    [execution] = await callback_server.world.publish_and_route()
    await callback_server.until_asked(1)
    assert (await callback_server.world.all())[0].status is ExecutionStatus.RUNNING
    await callback_server.world.decide(execution, Action.REJECT)
    release.set()
    await callback_server.until_settled()
    for caller in callback_server.callers:
        await caller.stop()
    assert (await callback_server.world.executions.get("ten_a", execution.id)).action is Action.REJECT
    assert len(await callback_server.world.events("agent.action")) == 1


async def test_a_slow_agent_holds_up_nobody_else_and_gets_few_calls_at_once(
    callback_server: CallbackServer,
) -> None:
    release = asyncio.Event()

    async def answer(asked: Received) -> tuple[int, bytes]:
        if asked.path == "/slow":
            await release.wait()
            return ACCEPTED
        return approving(asked)

    world = callback_server.world
    callback_server.answer = answer
    await world.agent("slow", callback_url=f"{callback_server.url}/slow")
    fine = await world.agent("fine", callback_url=f"{callback_server.url}/fine")
    for _ in range(40):
        await world.publish()
    await world.route()

    async def decided() -> bool:
        return (await world.agents.stats(fine)).get(ExecutionStatus.COMPLETED, 0) == 40

    await callback_server.until(decided)
    assert len([one for one in callback_server.asked if one.path == "/slow"]) <= MAX_CLAIMED_PER_AGENT
    release.set()
    await callback_server.until_settled()
    assert len(callback_server.asked) == 80, "each is called once though two call"


async def test_a_caller_that_died_is_taken_over_at_the_same_step(callback_server: CallbackServer) -> None:
    world = callback_server.world
    callback_server.answer = approve
    await world.agent(callback_url=callback_server.url)
    await world.publish()
    await world.route()
    await callback_server.until_settled()
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
    await callback_server.until_asked(1)
    world.forward(60)
    await callback_server.until_asked(2)
    await callback_server.until_settled()
    assert (await world.executions.get("ten_a", execution.id)).action is Action.APPROVE


async def test_agents_of_a_suspended_tenant_are_not_called(callback_server: CallbackServer) -> None:
    world = callback_server.world
    await world.db.execute(
        "INSERT INTO tenants (id, name, status, created_at, updated_at)"
        " VALUES ('ten_b', 'b', 'suspended', $1, $1)",
        world.now,
    )
    await world.agent(tenant="ten_b", callback_url=f"{callback_server.url}/b")
    await world.agent(tenant="ten_a", callback_url=f"{callback_server.url}/a")
    await world.publish(tenant="ten_b")
    await world.publish(tenant="ten_a")
    await world.route()
    await callback_server.until_asked(1)
    await callback_server.callers[0].loop.reached(callback_server.callers[0].loop.passes + 2)
    assert [one.path for one in callback_server.asked] == ["/a"]
    await world.db.execute("UPDATE tenants SET status = 'active'")
    await callback_server.until_asked(2)


async def test_what_cannot_be_signed_is_no_try_of_the_agent(callback_server: CallbackServer) -> None:
    world = callback_server.world
    await world.agent(callback_url=callback_server.url)
    await world.db.execute("UPDATE agent_secrets SET key_id = 'of nobody here'")
    await world.publish_and_route()

    async def set_aside() -> bool:
        return bool(callback_server.telemetry.of(OutboxSetAside))

    await callback_server.until(set_aside)
    await callback_server.until_settled()
    row = await world.db.fetchrow("SELECT failed_attempts, claimed FROM outbox")
    assert row is not None
    assert tuple(row) == (0, False)
    assert callback_server.asked == []


async def test_a_caller_whose_claim_is_over_settles_nothing(world: World) -> None:
    agent = await world.agent(callback_url="https://a.example/")
    [execution] = await world.publish_and_route()

    queue = msgspec.structs.replace(AGENT_QUEUE, lease_seconds=30.0)

    async def claim() -> AgentCall:
        batch = await claim_due(world.db, queue, now=world.now, limit=10, cursor=None, in_flight=InFlight())
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


async def test_agents_of_a_suspended_tenant_are_not_called_until_it_works_again(
    callback_server: CallbackServer,
) -> None:
    world = callback_server.world
    callback_server.answer = approve
    for tenant in ("ten_a", "ten_b"):
        await world.agent(tenant=tenant, callback_url=f"{callback_server.url}/{tenant}")
    await world.db.execute(
        "INSERT INTO tenants (id, status, created_at, updated_at) VALUES ('ten_a', 'suspended', $1, $1)"
        " ON CONFLICT (id) DO UPDATE SET status = 'suspended'",
        world.now,
    )
    for tenant in ("ten_a", "ten_b"):
        await world.publish(tenant=tenant)
    await world.route()
    await callback_server.until_asked(1)
    passes = callback_server.callers[0].loop.passes
    callback_server.callers[0].loop.wake()
    await callback_server.callers[0].loop.reached(passes + 1)
    assert [asked.path for asked in callback_server.asked] == ["/ten_b"]
    await world.db.execute("UPDATE tenants SET status = 'active'")
    await callback_server.until_settled()
    assert sorted(asked.path for asked in callback_server.asked) == ["/ten_a", "/ten_b"]
