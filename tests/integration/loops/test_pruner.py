"""The pruner: what the settings say is forgotten, whatever there is of it."""

from datetime import timedelta

from runwright.db.pool import Pool
from runwright.jobs.store.finish import append_logs
from runwright.loops.pruner import Pruner, Retention
from runwright.telemetry.events import RowsPruned
from tests.integration.jobs.world import EXECUTOR, World
from tests.telemetry import RecordedTelemetry


async def test_a_backlog_is_worked_off_and_the_young_stay(database: Pool) -> None:
    world = World(database)
    telemetry = RecordedTelemetry()
    worker = await world.worker()
    await world.executor()
    for number in range(2):
        jobs = [world.submission(worker.id) for _ in range(600 if number == 0 else 3)]
        await world.jobs.submit_batch("ten_a", jobs)
        while claimed := await world.claim(room=256):
            await append_logs(database, executor_id=EXECUTOR, chunks=[world.chunk(claimed[0], "a line")])
            await world.finish(*[world.ending(job) for job in claimed])
        world.forward(timedelta(days=2).total_seconds())
    pruner = Pruner(
        database,
        retention=Retention(jobs_days=3, logs_days=1, ticks_days=1, runs_days=1, events_days=1, audit_days=1),
        clock=world.clock,
        emit=telemetry,
    )
    await pruner.start()
    await pruner.loop.reached(2)
    await pruner.stop()
    assert await database.fetchval("SELECT count(*) FROM jobs") == 3
    assert await database.fetchval("SELECT count(*) FROM job_log_chunks") == 0
    assert await database.fetchval("SELECT count(*) FROM audit_log") == 0
    assert {event.kind for event in telemetry.of(RowsPruned)} == {"audit log", "events", "jobs", "logs"}
