"""`kill -9` of schedulers at random moments: every tick has one row, one job, one event, and none is lost.

The schedulers are processes of their own, on a clock whose minutes last a second. `CHAOS=long`
kills for longer.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from tests.chaos.fast_scheduler import fast_clock
from tests.integration.schedules.world import ScheduleWorld

from runwright.cron.timetable import timetable_of
from runwright.db.pool import open_pool
from runwright.schedules.model import Schedule

LONG: Final = os.environ.get("CHAOS") == "long"
SECONDS: Final = 90 if LONG else 8
SCHEDULERS: Final = 3
CRONS: Final = ("* * * * *", "*/2 * * * *", "1-59/3 * * * *", "7 * * * *")
PER_CRON: Final = 50
GRACE_SECONDS: Final = 86_400
"""So long that no tick is missed only because everybody was dead for a while."""


class Herd:
    """Schedulers that are killed and started again."""

    def __init__(self, dsn: str, begin: datetime, log: Path, chance: random.Random) -> None:
        self._command = [sys.executable, "-m", "tests.chaos.fast_scheduler", dsn, begin.isoformat()]
        self._log = log
        self._chance = chance
        self.kills = 0

    async def live_and_die(self, over: asyncio.Event) -> None:
        """Be one of the herd: run, be killed at some moment, run again, until it is over."""
        while not over.is_set():
            async with self.running():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), self._chance.uniform(0.02, 2.5))
                self.kills += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run a scheduler, and kill it at the end."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        try:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n", self._log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def _break_connections(dsn: str, chance: random.Random, over: asyncio.Event) -> None:
    """Cut every connection now and then, in the middle of whatever it does."""
    db = await asyncpg.connect(dsn)
    try:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(0.2, 2.0))
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    finally:
        await db.close()


async def _make_schedules(dsn: str, now: datetime) -> list[Schedule]:
    db = await open_pool(dsn)
    try:
        world = ScheduleWorld(db)
        world.now = now
        worker = await world.worker()
        return [
            await world.schedule(worker, cron, misfire_grace_seconds=GRACE_SECONDS)
            for cron in CRONS
            for _ in range(PER_CRON)
        ]
    finally:
        await db.close()


async def _settle(db: "asyncpg.Connection[asyncpg.Record]", until: datetime) -> None:
    """Wait until every clock has passed that time."""
    async with asyncio.timeout(60):
        while await db.fetchval("SELECT count(*) FROM schedules WHERE due_at <= $1", until):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_every_tick_has_one_job_whichever_scheduler_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("CHAOS_SEED", "20261122")))
    begin = datetime.now(UTC).replace(microsecond=0)
    made = await _make_schedules(database_url, begin)
    herd = Herd(database_url, begin, tmp_path / "schedulers.log", chance)
    over = asyncio.Event()
    tasks = [asyncio.create_task(herd.live_and_die(over)) for _ in range(SCHEDULERS)]
    tasks.append(asyncio.create_task(_break_connections(database_url, chance, over)))
    await asyncio.sleep(SECONDS)
    over.set()
    await asyncio.gather(*tasks)
    assert herd.kills > SCHEDULERS

    until = fast_clock(begin)
    db = await asyncpg.connect(database_url)
    try:
        async with herd.running():
            await _settle(db, until)
        await _assert_exact(db, made, begin, until)
    finally:
        await db.close()


async def _assert_exact(
    db: "asyncpg.Connection[asyncpg.Record]", made: list[Schedule], begin: datetime, until: datetime
) -> None:
    rows = await db.fetch(
        """
        SELECT t.schedule_id, t.scheduled_for, t.status, count(j.id) AS jobs, count(q.job_id) AS queued
        FROM ticks t
        LEFT JOIN jobs j ON j.schedule_id = t.schedule_id AND j.scheduled_at = t.scheduled_for
        LEFT JOIN job_queue q ON q.job_id = j.id
        GROUP BY 1, 2, 3
        """
    )
    assert {(row["status"], row["jobs"], row["queued"]) for row in rows} == {("fired", 1, 1)}
    judged = {(row["schedule_id"], row["scheduled_for"]) for row in rows}
    expected = {
        (schedule.id, at)
        for cron in CRONS
        for at in _nominal_times(cron, begin, until)
        for schedule in made
        if schedule.cron == cron
    }
    assert expected <= judged, "ticks that nobody judged"
    assert all(at > until for _, at in judged - expected), "ticks that nobody expected"
    assert len(expected) > SECONDS * PER_CRON
    assert await db.fetchval("SELECT count(*) FROM jobs") == len(rows)
    assert await db.fetchval("SELECT count(*) FROM events WHERE type = 'schedule.fired'") == len(rows)


def _nominal_times(cron: str, begin: datetime, until: datetime) -> list[datetime]:
    times, at = [], timetable_of(cron, "UTC").next_after(begin)
    while at is not None and at <= until:
        times.append(at)
        at = timetable_of(cron, "UTC").next_after(at)
    assert times == sorted(set(times))
    assert all(begin < at <= until for at in times)
    return times
