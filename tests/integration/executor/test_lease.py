"""The lease is kept while the main event loop is blocked, and lost where it must be."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from runwright.core.clock import system_clock
from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.pool import connect, open_pool
from runwright.leases.store import rescue_expired
from runwright.telemetry.events.executor import EventLoopUnresponsive, ExecutorLeaseLost
from tests.integration.executor.conftest import MakeEngine

PAUSED = "import time\ndef handler(input, env):\n    print('begun', flush=True)\n    time.sleep(input['seconds'])\n    return 1\n"
ECHO = "def handler(input, env):\n    return input\n"


def sleep(seconds: float) -> None:
    """Block the loop in a call that releases the GIL."""
    time.sleep(seconds)


def compute(seconds: float) -> None:
    """Block the loop in Python code."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class OtherReaper(threading.Thread):
    """Rescues the jobs of dead executors from elsewhere, until it is stopped; keeps what it rescued."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._ended = threading.Event()
        self.passes = 0
        self.rescued: list[str] = []

    def run(self) -> None:
        asyncio.run(self._rescue())

    def end(self) -> list[str]:
        self._ended.set()
        self.join()
        return self.rescued

    async def _rescue(self) -> None:
        async with await open_pool(self._dsn, max_size=1) as db:
            while not self._ended.is_set():
                now = system_clock()
                rescued = await rescue_expired(db, now=now, before=now + timedelta(minutes=1))
                self.rescued += [job for job, _ in rescued]
                self.passes += 1
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("block", [sleep, compute])
async def test_a_blocked_event_loop_loses_neither_the_lease_nor_a_job(
    make_engine: MakeEngine, database_url: str, block: Callable[[float], None]
) -> None:
    engine = make_engine(lease_seconds=4)
    await engine.start()
    executor_id = engine.executor.id
    job = await engine.submit(await engine.worker(PAUSED), b'{"seconds": 0.5}')
    await engine.until(lambda: engine.has_line(job, "begun"))
    reaper = OtherReaper(database_url)
    reaper.start()
    block(6)
    assert engine.executor.lease.held
    assert reaper.end() == []
    assert reaper.passes > 3
    assert (await engine.ended(job)).status is JobStatus.COMPLETED
    assert engine.executor.id == executor_id


async def test_a_loop_that_is_blocked_for_too_long_gives_its_jobs_up(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(lease_seconds=2, unresponsive_seconds=2)
    await engine.start()
    executor_id = engine.executor.id
    job = await engine.submit(await engine.worker(PAUSED), b'{"seconds": 60}')
    await engine.until(lambda: engine.has_line(job, "begun"))
    reaper = OtherReaper(database_url)
    reaper.start()
    sleep(7)
    assert not engine.executor.lease.held
    assert reaper.end() == [job.id]
    ended = await engine.ended(job)
    assert ended.error is not None
    assert ended.error.code == ErrorCode.EXECUTOR_LOST
    assert engine.telemetry.of(EventLoopUnresponsive)
    again = await engine.submit(await engine.worker(ECHO))
    assert (await engine.ended(again)).status is JobStatus.COMPLETED
    assert engine.executor.id != executor_id
    assert [event.executor_id for event in engine.telemetry.of(ExecutorLeaseLost)] == [executor_id]
    assert engine.executor.pool.stats().running == 0


async def test_a_heartbeat_whose_connection_breaks_makes_another(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(lease_seconds=5)
    await engine.start()
    executor_id = engine.executor.id
    connection = await connect(database_url)
    closed = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'runwright lease'"
    )
    await connection.close()
    assert len(closed) == 1
    ends = engine.executor.lease.ends
    async with asyncio.timeout(60):
        while engine.executor.lease.ends == ends:
            await engine.next_heartbeat()
    assert engine.executor.lease.held
    assert engine.executor.id == executor_id


async def test_a_stop_leaves_neither_thread_nor_row_nor_connection(
    make_engine: MakeEngine, database_url: str
) -> None:
    def heartbeats() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "runwright-heartbeat"]

    engine = make_engine()
    await engine.stop()  # unstarted
    assert heartbeats() == []
    await engine.start()
    assert len(heartbeats()) == 1
    assert os.getpriority(os.PRIO_PROCESS, heartbeats()[0].native_id or 0) <= os.getpriority(0, 0)
    await engine.stop()
    await engine.stop()
    assert heartbeats() == []
    assert await engine.db.fetchval("SELECT count(*) FROM executors") == 0
    connection = await connect(database_url)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runwright lease'"
    left = await connection.fetchval(asked + " AND datname = current_database()")
    await connection.close()
    assert left == 0
