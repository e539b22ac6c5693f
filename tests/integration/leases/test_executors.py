"""What is listed of executors, and which jobs are lost with them."""

from runwright.leases.store import expire_lease, list_executors, live_executors, lost_jobs
from tests.integration.jobs.world import EXECUTOR, World

OTHER = "exe_z"


async def test_executors_are_listed_with_the_jobs_that_they_run_also_when_their_lease_is_over(
    world: World,
) -> None:
    await world.executor()
    await world.executor(OTHER, runtimes=["python", "shell"])
    worker = await world.worker()
    for _ in range(2):
        await world.job(worker)
    await world.claim(OTHER)
    await expire_lease(world.db, executor_id=OTHER)
    assert [(one.id, one.running, one.live) for one in await list_executors(world.db)] == [
        (EXECUTOR, 0, True),
        (OTHER, 2, False),
    ]
    [live] = await live_executors(world.db)
    assert (live.id, live.host, live.slots, live.runtimes) == (EXECUTOR, "h", 4, ["python"])


async def test_jobs_are_lost_whose_executor_has_no_lease(world: World) -> None:
    await world.executor()
    await world.executor(OTHER)
    worker = await world.worker()
    await world.job(worker)
    await world.claim()
    lost = await world.job(worker)
    await world.claim(OTHER)
    assert list(await lost_jobs(world.db, limit=10)) == []
    await expire_lease(world.db, executor_id=OTHER)
    assert list(await lost_jobs(world.db, limit=10)) == [lost.id]
