"""What `/healthz` says when something is missing."""

import pytest

from runwright.db.pool import Pool
from runwright.runtimes.probe import probe_host
from runwright.wiring.health import HealthReporter
from tests.integration.jobs.world import EXECUTOR
from tests.integration.schedules.world import ScheduleWorld


@pytest.fixture
def world(database: Pool) -> ScheduleWorld:
    return ScheduleWorld(database)


async def test_a_schedule_that_nobody_fires_degrades_the_server(world: ScheduleWorld) -> None:
    reporter = HealthReporter(
        world.db, clock=world.clock, host=probe_host(), executor=None, draining=lambda: False
    )
    await world.executor(EXECUTOR)
    await world.schedule()
    assert (await reporter.report()).status == "ok"
    world.forward(60 + 59)
    assert (await reporter.report()).status == "ok"
    world.forward(2)
    report = await reporter.report()
    assert (report.status, report.schedules) == ("degraded", {"overdue_seconds": 61.0})
    await world.fire()
    assert (await reporter.report()).status == "ok"
