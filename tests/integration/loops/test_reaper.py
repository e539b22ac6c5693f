"""What an expired lease proves to a reaper, and what it does not while the database is away."""

import asyncio

import pytest

from runwright.core.job_state import JobStatus
from runwright.db.pool import Pool
from runwright.leases.store import expire_lease
from runwright.loops import reaper as module
from runwright.loops.reaper import Reaper
from runwright.telemetry.events.jobs import JobsRescued, RescuePostponed
from tests.integration.jobs.world import EXECUTOR, World
from tests.telemetry import RecordedTelemetry

AWAY_SECONDS = 0.2

_HELD_UP = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND clock_timestamp() - query_start > make_interval(secs => $1))
"""


async def _hang(database: Pool) -> None:
    """Let every statement on executors hang for longer than the reaper takes for an accident."""
    async with database.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE executors")
        async with asyncio.timeout(60):
            while not await database.fetchval(_HELD_UP, AWAY_SECONDS):  # noqa: ASYNC110  only the server knows
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("grace_seconds", [0.0, 3600.0])
async def test_after_an_outage_executors_get_time_to_report(
    database: Pool, monkeypatch: pytest.MonkeyPatch, grace_seconds: float
) -> None:
    """The lease expired while nobody could renew it: its job is left alone for the grace period."""
    monkeypatch.setattr(module, "OUTAGE_SECONDS", AWAY_SECONDS / 2)
    world, telemetry = World(database), RecordedTelemetry()
    await world.executor()
    job = await world.job(await world.worker())
    await world.claim()
    reaper = Reaper(
        database,
        clock=world.clock,
        notifications=world.notifications,
        emit=telemetry,
        interval_seconds=0.01,
        grace_seconds=grace_seconds,
    )
    await reaper.start()
    await reaper.loop.reached(1)
    await _hang(database)
    await expire_lease(database, executor_id=EXECUTOR)
    await reaper.loop.reached(reaper.loop.passes + 10)
    await reaper.stop()
    assert telemetry.of(RescuePostponed)
    in_grace = grace_seconds > 0
    assert await world.status(job) is (JobStatus.RUNNING if in_grace else JobStatus.FAILED)
    assert bool(telemetry.of(JobsRescued)) is not in_grace
