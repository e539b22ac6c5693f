"""`kill -9` of whoever fires and dispatches automations: no fire is lost or doubled, no run stays behind.

The processes have a clock whose minutes last a second; the agents' jobs are ended by the test, which
lets every third one fail. `CHAOS=long` kills for longer.
"""

import asyncio
import contextlib
import os
import random
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.chaos.fast_scheduler import fast_clock
from tests.chaos.test_scheduler_kills import Herd
from tests.integration.automations.world import AutomationWorld, Json

from runwright.automations.model import Automation, FireLimit, RunRetryPolicy, ScheduleSpec
from runwright.core.job_state import JobStatus
from runwright.db.pool import Database, open_pool
from runwright.schedules.tick_policy import CatchUp

LONG: Final = os.environ.get("CHAOS") == "long"
SECONDS: Final = 60 if LONG else 5
HERD: Final = 2
KILLS: Final = 4
OURS: Final = "the test"
GRACE_SECONDS: Final = 86_400
MINUTE: Final = timedelta(minutes=1)
LIMITED: Final = FireLimit(max=2, window="3m")
OFTEN: Final = FireLimit(max=1_000_000, window="1h")
TRIES: Final = RunRetryPolicy(strategy="backoff", max_retries=6, base_delay="2s")


class AutomatonHerd(Herd):
    """Processes that fire and dispatch."""

    def __init__(self, dsn: str, begin: datetime, log: Path, chance: random.Random) -> None:
        super().__init__(dsn, begin, log, chance)
        self._command = [*self._command[:2], "tests.chaos.automaton", *self._command[3:]]


class Agents:
    """Ends the jobs of agents, by the fast clock; every third attempt fails."""

    def __init__(self, world: AutomationWorld, begin: datetime) -> None:
        self._world = world
        self._begin = begin

    async def work(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._end_what_waits()
            await asyncio.sleep(0.02)

    async def _end_what_waits(self) -> None:
        self._world.now = fast_clock(self._begin)
        for job in await self._world.claim():
            fails = zlib.crc32(job.job_id.encode()) % 3 == 0
            await self._world.finish(
                self._world.end_of(job, JobStatus.FAILED if fails else JobStatus.COMPLETED)
            )


async def _cut_connections(db: Database, chance: random.Random, over: asyncio.Event) -> None:
    """Cut the herd's connections now and then, in the middle of whatever they do."""
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), chance.uniform(0.2, 2.0))
        await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> $1",
            OURS,
        )


async def _make(world: AutomationWorld) -> tuple[list[Automation], list[Automation], Automation, Automation]:
    await world.agent()
    late: dict[str, Json] = {"misfire_grace_seconds": GRACE_SECONDS, "catch_up": CatchUp.ALL}
    every = [
        await world.job_automation(
            schedule=ScheduleSpec(mode="every", interval="1m"), limit=OFTEN, retry=TRIES, **late
        )
        for _ in range(8)
    ]
    once = [
        await world.job_automation(
            schedule=ScheduleSpec(mode="at", time=(world.now + n * SECONDS * MINUTE / 9).isoformat()), **late
        )
        for n in range(1, 9)
    ]
    limited = await world.job_automation(
        schedule=ScheduleSpec(mode="every", interval="1m"), limit=LIMITED, **late
    )
    return every, once, limited, await world.trigger(prompt="{{ .Data.n }}", limit=OFTEN, retry=TRIES)


@pytest.mark.timeout(300)
async def test_no_fire_is_lost_or_doubled_whoever_is_killed(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("CHAOS_SEED", "20261122")))
    begin = datetime.now(UTC).replace(microsecond=0)
    db = await open_pool(database_url, application_name=OURS)
    world = AutomationWorld(db)
    world.now = begin
    every, once, limited, trigger = await _make(world)
    herd = AutomatonHerd(database_url, begin, tmp_path / "automata.log", chance)
    over, done = asyncio.Event(), asyncio.Event()
    agents = asyncio.create_task(Agents(world, begin).work(done))
    tasks = [asyncio.create_task(herd.live_and_die(over)) for _ in range(HERD)]
    tasks.append(asyncio.create_task(_cut_connections(db, chance, over)))
    published = await _publish(world, begin, herd)
    over.set()
    await asyncio.gather(*tasks)

    until = fast_clock(begin)
    async with herd.running():
        await _settle(db, until)
        done.set()
        await agents
    await _assert_grids(db, every, begin, until)
    await _assert_once(db, once, until)
    await _assert_limited(db, limited)
    rows = await db.fetch(
        "SELECT activation -> 'data' ->> 'n' FROM automation_runs WHERE automation_id = $1", trigger.id
    )
    assert sorted(int(row[0]) for row in rows) == list(range(published))
    await _assert_attempts(db)
    await db.close()


async def _publish(world: AutomationWorld, begin: datetime, herd: Herd) -> int:
    """Publish numbered events until the time is over and enough were killed; returns how many."""
    published, loop = 0, asyncio.get_running_loop()
    end = loop.time() + SECONDS
    while loop.time() < end or herd.kills < KILLS:
        world.now = fast_clock(begin)
        await world.publish("custom.happened", n=published)
        published += 1
        await asyncio.sleep(0.02)
    return published


async def _settle(db: Database, until: datetime) -> None:
    """Wait until every clock has passed that time, and every run of before has ended."""
    async with asyncio.timeout(90):
        while await db.fetchval(  # noqa: ASYNC110
            """
            SELECT (SELECT count(*) FROM schedules WHERE due_at <= $1)
                 + (SELECT count(*) FROM event_queue)
                 + (SELECT count(*) FROM run_queue q JOIN automation_runs r ON r.id = q.run_id
                    WHERE r.started_at <= $1)
            """,
            until,
        ):
            await asyncio.sleep(0.1)


async def _assert_grids(db: Database, every: list[Automation], begin: datetime, until: datetime) -> None:
    for one in every:
        rows = await db.fetch(
            "SELECT scheduled_at FROM automation_runs WHERE automation_id = $1 AND scheduled_at <= $2"
            " ORDER BY 1",
            *(one.id, until),
        )
        expected = [begin + n * MINUTE for n in range(1, int((until - begin) / MINUTE) + 1)]
        assert [row[0] for row in rows] == expected


async def _assert_once(db: Database, once: list[Automation], until: datetime) -> None:
    for one in once:
        rows = await db.fetch("SELECT scheduled_at FROM automation_runs WHERE automation_id = $1", one.id)
        assert len(rows) == 1
        assert rows[0][0] <= until


async def _assert_limited(db: Database, limited: Automation) -> None:
    rows = await db.fetch(
        "SELECT started_at FROM automation_runs WHERE automation_id = $1 AND number IS NOT NULL ORDER BY 1",
        limited.id,
    )
    starts = [row[0] for row in rows]
    assert len(starts) > LIMITED.max
    for first, beyond in zip(starts, starts[LIMITED.max :], strict=False):
        assert beyond - first > LIMITED.span


async def _assert_attempts(db: Database) -> None:
    """One job per attempt, one event per end, nothing left in between."""
    ended = await db.fetch(
        """
        SELECT r.id, r.status, r.attempt,
               (SELECT count(*) FROM jobs j WHERE (j.input::jsonb -> 'run' ->> 'id') = r.id) AS jobs,
               (SELECT count(*) FROM events e WHERE e.subject_id = r.id) AS events
        FROM automation_runs r WHERE r.ended_at IS NOT NULL AND r.number IS NOT NULL
        """
    )
    assert {row["events"] for row in ended} == {1}
    assert all(row["jobs"] == row["attempt"] for row in ended)
    assert {row["status"] for row in ended} <= {"completed", "failed"}
    assert any(row["attempt"] > 1 for row in ended)
