"""Ten thousand enabled schedules: is every tick fired, once, and in time, and what does waiting cost?

Every schedule fires every minute, all of them at the same instant: the hardest way to have them.
What is expected is reckoned here; what became of it is read from the tables.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from tests.bench.connection import Connection
from tests.bench.process import ChildError
from tests.bench.result import Latency, Ticks
from tests.bench.server import Server, make_worker, serving

MINUTE: Final = timedelta(minutes=1)
IDLE_FROM_SECONDS: Final = 35.0
IDLE_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 15.0


async def measure_schedules(folder: Path, schedules: int, minutes: int) -> Ticks:
    """Create the schedules, let some minutes pass, and look."""
    async with serving(folder, "--roles", "api,scheduler") as server:
        await asyncio.to_thread(_create, server, schedules)
        begin = _whole_minute(datetime.now(UTC)) + MINUTE
        await _until(begin + timedelta(seconds=IDLE_FROM_SECONDS))
        idle = await _idle_cores(server.pid)
        end = begin + (minutes - 1) * MINUTE
        await _until(end + timedelta(seconds=SETTLE_SECONDS))
        expected = [begin + n * MINUTE for n in range(minutes)]
        return await _look(server, schedules, expected, idle)


def _create(server: Server, schedules: int) -> None:
    """Create schedules one by one, as a tenant would."""
    with server.connect() as connection:
        worker = make_worker(connection)
        body: dict[str, Any] = {"worker_id": worker, "cron": "* * * * *", "timezone": "Europe/Berlin"}
        for _ in range(schedules):
            connection.call("POST", "/v1/ava/schedules", body)
        _check_count(connection, schedules)


def _check_count(connection: Connection, schedules: int) -> None:
    listed = connection.call("GET", "/v1/ava/schedules?per_page=1&filter[enabled]=true")
    total = listed["pagination"]["total"]
    if total != schedules:
        raise ChildError(f"{total} of {schedules} schedules are enabled")


def _whole_minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


async def _until(at: datetime) -> None:
    await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


async def _idle_cores(pid: int) -> float:
    before = _cpu_seconds(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return (_cpu_seconds(pid) - before) / IDLE_SECONDS


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of the server, its PostgreSQL and whatever else it started."""
    leader = psutil.Process(pid)
    total = 0.0
    for process in [leader, *leader.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def _look(server: Server, schedules: int, expected: list[datetime], idle_cores: float) -> Ticks:
    db = await asyncpg.connect(
        host=str(server.data_dir / "pg.socket"), user="runwright", database="runwright"
    )
    try:
        rows = await db.fetch(
            """
            SELECT count(*) AS jobs, t.decided_at - t.scheduled_for AS late
            FROM ticks t JOIN jobs j ON j.schedule_id = t.schedule_id AND j.scheduled_at = t.scheduled_for
            WHERE t.status = 'fired' AND t.scheduled_for = ANY ($1)
            GROUP BY t.schedule_id, t.scheduled_for, t.decided_at
            """,
            expected,
        )
    finally:
        await db.close()
    wanted = schedules * len(expected)
    return Ticks(
        schedules=schedules,
        minutes=len(expected),
        expected=wanted,
        fired=len(rows),
        missing=wanted - len(rows),
        surplus=sum(row["jobs"] - 1 for row in rows),
        lateness=Latency.of([row["late"].total_seconds() for row in rows]),
        idle_cores=idle_cores,
    )
