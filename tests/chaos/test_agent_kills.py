"""`kill -9` of what routes, calls and follows for agents: one execution per event and agent, decided once.

Three agents get every event: one is called, one is a worker whose jobs this test ends, one is polled
by two pollers that lease what they get and are cut off now and then. `CHAOS=long` kills for longer.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
from tests.integration.agents.callback_server import CallbackServer, Received
from tests.integration.agents.world import World
from tests.integration.jobs.world import World as JobWorld

from runwright.agents.model import Action, Agent, DecidedError, ExecutionStatus
from runwright.core.clock import system_clock
from runwright.db.pool import Pool, open_pool
from runwright.events.publish import publish_event

LONG: Final = os.environ.get("CHAOS") == "long"
SECONDS: Final = 60.0 if LONG else 6.0
AGENCIES: Final = 2
LEASE_SECONDS: Final = 2


async def _live_and_die(dsn: str, log: Path, chance: random.Random, over: asyncio.Event) -> int:
    kills = 0
    while not over.is_set():
        async with _agency(dsn, log) as process:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n", log.read_text()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(0.05, 1.2))
        kills += 1
    return kills


@contextlib.asynccontextmanager
async def _agency(dsn: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.agency", dsn), stdout=asyncio.subprocess.PIPE, stderr=stderr
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def _publish(db: Pool, chance: random.Random, over: asyncio.Event) -> int:
    """Publish, out of order of commit and now and then not at all; returns how many events are there."""
    published = 0

    async def one_batch() -> int:
        count = chance.randint(1, 6)
        async with db.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            for _ in range(count):
                await publish_event(connection, "ten_a", "result.submitted", {"a": 1}, system_clock())
            await asyncio.sleep(chance.uniform(0, 0.1))
            if chance.random() < 0.1:
                await transaction.rollback()
                return 0
            await transaction.commit()
            return count

    while not over.is_set():
        published += sum(await asyncio.gather(*(one_batch() for _ in range(3))))
    return published


async def _poll(world: World, agent: Agent, chance: random.Random, calm: asyncio.Event) -> Counter[str]:
    """Lease, decide, and now and then be cut off in between; returns what it decided, by execution."""
    decided: Counter[str] = Counter()
    while not calm.is_set():
        leased = await world.executions.lease(agent.id, seconds=LEASE_SECONDS, limit=20)
        for execution in leased:
            if chance.random() < 0.1:
                break  # the rest is never answered by this one
            with contextlib.suppress(DecidedError):
                await world.decide(execution, Action.SKIP)
                decided[execution.id] += 1
        await asyncio.sleep(0 if leased else 0.02)
    return decided


async def _run_jobs(jobs: JobWorld, calm: asyncio.Event) -> None:
    """End whatever job waits, with a decision."""
    while not calm.is_set():
        claimed = await jobs.claim()
        endings = [
            msgspec.structs.replace(jobs.end_of(job), output=b'{"action": "reject"}') for job in claimed
        ]
        if endings:
            await jobs.finish(*endings)
        await asyncio.sleep(0.02)


async def _answer(_: Received) -> tuple[int, bytes]:
    await asyncio.sleep(0.01)
    return 200, b'{"action": "approve"}'


@pytest.mark.timeout(300)
async def test_each_event_is_decided_once_by_each_agent_whatever_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("CHAOS_SEED", "20261122")))
    db = await open_pool(database_url)
    world, jobs, log = World(db), JobWorld(db), tmp_path / "agencies.log"
    world.clock = jobs.clock = system_clock  # type: ignore[method-assign]
    callback_server = CallbackServer(world, callers=0)
    callback_server.answer = _answer
    over, calm = asyncio.Event(), asyncio.Event()
    await jobs.executor()
    async with callback_server.connected():
        called = await world.agent("called", callback_url=callback_server.url)
        worked = await world.agent("worked", worker_id=(await jobs.worker()).id)
        polled = await world.agent("polled")
        busy = [
            asyncio.create_task(_poll(world, polled, chance, calm)),
            asyncio.create_task(_poll(world, polled, chance, calm)),
        ]
        running = asyncio.create_task(_run_jobs(jobs, calm))
        living = [
            asyncio.create_task(_live_and_die(database_url, log, chance, over)) for _ in range(AGENCIES)
        ]
        publishing = asyncio.create_task(_publish(db, chance, over))
        await asyncio.sleep(SECONDS)
        over.set()
        published = await publishing
        kills = sum(await asyncio.gather(*living))
        async with _agency(database_url, log):
            await _settle(db, published * 3)
        calm.set()
        await running
        decided = sum(await asyncio.gather(*busy), Counter[str]())
    await _assert_once(db, published, {called.id: "approve", worked.id: "reject", polled.id: "skip"})
    assert set(decided.values()) == {1}
    assert len(decided) == published
    await db.close()
    assert kills > AGENCIES
    assert published > 50


async def _settle(db: Pool, expected: int) -> None:
    async with asyncio.timeout(60):
        while await db.fetchval(  # noqa: ASYNC110
            "SELECT (SELECT count(*) FROM event_queue) + (SELECT count(*) FROM completion_callbacks)"
            " + $1 - (SELECT count(*) FROM executions WHERE completed_at IS NOT NULL)",
            expected,
        ):
            await asyncio.sleep(0.1)


async def _assert_once(db: Pool, published: int, agents: dict[str, str]) -> None:
    rows = await db.fetch(
        "SELECT agent_id, status, action, count(*) AS number, count(DISTINCT position) AS events"
        " FROM executions GROUP BY 1, 2, 3"
    )
    found = {(row["agent_id"], row["status"], row["action"]): (row["number"], row["events"]) for row in rows}
    assert found == {
        (agent_id, ExecutionStatus.COMPLETED, action): (published, published)
        for agent_id, action in agents.items()
    }
    told = await db.fetchval(
        "SELECT count(*) FROM executions x WHERE 1 <> (SELECT count(*) FROM events e"
        " WHERE e.type = 'agent.action' AND e.subject_id = x.id)"
    )
    assert told == 0, "one agent.action for each decision"
    assert await db.fetchval("SELECT count(*) FROM jobs") == published, "one job for each event"
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0
