"""Timeouts of executions, expired poll leases, and completion callbacks of executions."""

from collections.abc import Sequence
from datetime import datetime

from runwright.agents.completion_callbacks import (
    EXECUTION_ENDS,
    EndedExecution,
)
from runwright.agents.model import DECISION_WINDOW, Action, ExecutionStatus
from runwright.agents.opening import open_execution
from runwright.agents.store.executions import prune_orphaned_executions
from runwright.core.ids import AgentId, ExecutionId
from runwright.db.pool import PoolConnection
from runwright.events.completion import CompletionCallback, CompletionTarget, add_callbacks
from runwright.events.notifications import EventNotifications
from runwright.loops.completion_dispatcher import CompletionDispatcher, CompletionRoute
from runwright.loops.execution_timeouts import ExecutionTimeouts
from runwright.telemetry.events.agents import ExecutionsTimedOut, PollLeasesExpired
from tests.integration.agents.world import World


async def watch(world: World) -> None:
    clock = ExecutionTimeouts(world.db, clock=world.clock, emit=world.telemetry)
    await clock.start()
    await clock.loop.reached(1)
    await clock.stop()


async def test_the_clock_ends_what_nobody_decided_and_frees_what_was_leased(world: World) -> None:
    agent = await world.agent()
    await world.publish_and_route()
    world.forward(DECISION_WINDOW.total_seconds() - 5)
    await world.publish_and_route()
    [leased] = await world.executions.lease(agent.id, seconds=3, limit=1)
    second = (await world.all())[0]
    await world.executions.lease(agent.id, seconds=2, limit=1)
    world.forward(2)
    await watch(world)
    stats = await world.agents.stats(agent)
    assert stats == {ExecutionStatus.RUNNING: 1, ExecutionStatus.PENDING: 1}
    world.forward(3)
    await watch(world)
    by_id = {one.id: one.status for one in await world.all()}
    assert by_id == {leased.id: ExecutionStatus.TIMED_OUT, second.id: ExecutionStatus.PENDING}
    assert set(world.telemetry.kinds()) == {ExecutionsTimedOut, PollLeasesExpired}


class Waiting:
    """Somebody who opens executions and is told of their ends."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: dict[str, EndedExecution] = {}
        self.broken = False

    async def handle(
        self, db: PoolConnection, ends: Sequence[tuple[str, EndedExecution]], _now: datetime
    ) -> None:
        if self.broken:
            self.broken = False
            await db.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert not self.told.keys() & {subject for subject, _ in ends}
        self.told |= dict(ends)

    async def open(self, agent_id: str, subject: str) -> str:
        async with self.world.db.acquire() as db, db.transaction():
            execution_id = await open_execution(
                db, "ten_a", AgentId(agent_id), "custom.prompt", {}, ("atm_x",), self.world.now
            )
            callback = CompletionCallback(execution_id, "run", subject)
            await add_callbacks(db, CompletionTarget.EXECUTION, [callback])
            return execution_id

    async def follow(self, passes: int = 1) -> None:
        follower = CompletionDispatcher(
            self.world.db,
            [CompletionRoute(EXECUTION_ENDS, {"run": self.handle})],
            clock=self.world.clock,
            event_notifications=EventNotifications(origin="here", send=lambda _: None),
            emit=self.world.telemetry,
        )
        await follower.start()
        await follower.loop.reached(passes)
        await follower.stop()


async def test_whoever_opened_an_execution_is_told_once_how_it_ended(world: World) -> None:
    waiting = Waiting(world)
    agent, doomed = await world.agent("a", events=[]), await world.agent("b", events=[])
    decided = await waiting.open(agent.id, "run_1")
    await waiting.open(agent.id, "run_2")
    await waiting.open(doomed.id, "run_3")
    await waiting.follow()
    assert waiting.told == {}
    await world.decide(await world.executions.get("ten_a", ExecutionId(decided)), Action.REJECT, "no")
    await world.agents.delete(world.caller(), doomed.id)
    assert await prune_orphaned_executions(world.db, limit=10) == 0, "somebody waits for it"
    waiting.broken = True
    await waiting.follow(2)
    assert {subject: one.status for subject, one in waiting.told.items()} == {
        "run_1": ExecutionStatus.COMPLETED,
        "run_3": ExecutionStatus.FAILED,
    }
    assert waiting.told["run_1"].action is Action.REJECT
    world.forward(DECISION_WINDOW.total_seconds())
    await watch(world)
    await waiting.follow()
    assert waiting.told["run_2"].status is ExecutionStatus.TIMED_OUT
    assert await world.db.fetchval("SELECT count(*) FROM completion_callbacks") == 0
    assert await prune_orphaned_executions(world.db, limit=10) == 1
