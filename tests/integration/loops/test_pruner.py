"""The pruner: whatever has passed its retention period is deleted, and nothing else."""

from datetime import timedelta
from typing import Final

from runwright.core.ids import new_id
from runwright.db.pool import Pool
from runwright.jobs.store.finish import append_logs
from runwright.loops.pruner import Pruner, Retention
from runwright.telemetry.events.server import RowsPruned
from tests.integration.jobs.world import EXECUTOR, World
from tests.telemetry import RecordedTelemetry

AGES: Final = [days + 0.5 for days in range(10)]
"""In days; of one row each, of every kind."""

RETENTION: Final = Retention(logs_days=1, jobs_days=2, ticks_days=3, runs_days=4, events_days=5, audit_days=7)
OLDEST_KEPT: Final = {
    "job_log_chunks": 0.5,
    "job_results": 1.5,
    "jobs": 1.5,
    "ticks": 2.5,
    "automation_runs": 3.5,
    "deliveries": 4.5,
    "executions": 4.5,
    "events": 5.5,  # a day longer than deliveries and executions of them
    "audit_log": 6.5,
}
"""What `RETENTION` leaves, by table; every setting has a value of its own."""

SUBSCRIBERS: Final = """
INSERT INTO endpoints (id, tenant_id, style, url, events, patterns, status, created_by, created_at, updated_at)
VALUES ('wh_1', 'ten_a', 'ava', 'http://x', '{}', '{}', 'active', 'usr_1', now(), now());
INSERT INTO agents (id, tenant_id, name, description, style, events, patterns, active, task_types,
                    created_by, created_at, updated_at)
VALUES ('agt_1', 'ten_a', 'a', '', 'avala', '{}', '{}', true, '{}', 'usr_1', now(), now());
"""
ROWS: Final = {
    "jobs": "INSERT INTO jobs (tenant_id, id, worker_id, trigger, priority, input, triggered_by, max_retries,"
    " worker_version, created_at) VALUES ('ten_a', $1, 'wkr_1', 'manual', 5, '{}', 'usr_1', 0, 1, $2)",
    "job_results": "INSERT INTO job_results (tenant_id, job_id, worker_id, status, attempt, worker_version,"
    " completed_at) VALUES ('ten_a', $1, 'wkr_1', 'completed', 1, 1, $2)",
    "job_log_chunks": "INSERT INTO job_log_chunks (job_id, first_seq, last_seq, attempt, lines)"
    " SELECT $1, 1, 1, 1, '[]' WHERE $2::timestamptz IS NOT NULL",
    "ticks": "INSERT INTO ticks (schedule_id, scheduled_for, due_at, status, decided_at)"
    " VALUES ($1, $2, $2, 'missed', $2)",
    "automation_runs": "INSERT INTO automation_runs (id, tenant_id, automation_id, kind, status, started_at,"
    " ended_at, cause, plan) VALUES ($1, 'ten_a', 'trg_1', 'trigger', 'completed', $2, $2, 'event', '{}')",
    "events": "INSERT INTO events (tenant_id, type, subject_id, created_at) VALUES ('ten_a', 'x', $1, $2)",
    "deliveries": "INSERT INTO deliveries (id, tenant_id, endpoint_id, position, event_type, status, created_at)"
    " SELECT $1, 'ten_a', 'wh_1', coalesce(max(position), 0) + 1, 'x', 'abandoned', $2 FROM deliveries",
    "executions": "INSERT INTO executions (id, tenant_id, agent_id, position, event_type, status, created_at,"
    " updated_at) SELECT $1, 'ten_a', 'agt_1', coalesce(max(position), 0) + 1, 'x', 'failed', $2, $2"
    " FROM executions",
    "audit_log": "INSERT INTO audit_log (id, tenant_id, user_id, key_id, role, request_id, action, subject_id,"
    " created_at) VALUES ($1, 'ten_a', 'usr_1', 'key_1', 'x', 'req_1', 'x', 'x', $2)",
}
PREFIXES: Final = {"deliveries": "whd", "executions": "exn", "audit_log": "aud"}


async def test_every_kind_is_kept_for_as_long_as_its_own_setting(database: Pool) -> None:
    world = World(database)
    await database.execute(SUBSCRIBERS)
    ages: dict[str, float] = {}
    for age in sorted(AGES, reverse=True):  # events are pruned in the order of their positions
        at = world.now - timedelta(days=age)
        job_id = new_id("job", at)
        for table, insert in ROWS.items():
            row_id = new_id(PREFIXES[table], at) if table in PREFIXES else job_id  # type: ignore[arg-type]
            await database.execute(insert, row_id, at)
            ages[row_id] = age
    pruner = Pruner(database, retention=RETENTION, clock=world.clock, emit=RecordedTelemetry())
    await pruner.start()
    await pruner.loop.reached(1)
    await pruner.stop()
    keys = {
        "job_results": "job_id",
        "job_log_chunks": "job_id",
        "ticks": "schedule_id",
        "events": "subject_id",
    }
    for table, oldest in OLDEST_KEPT.items():
        left = await database.fetch(f"SELECT {keys.get(table, 'id')} FROM {table}")
        assert sorted(ages[row[0]] for row in left) == [age for age in AGES if age <= oldest], table


async def test_a_backlog_is_worked_off_and_the_young_stay(database: Pool) -> None:
    world = World(database)
    telemetry = RecordedTelemetry()
    worker = await world.worker()
    await world.executor()
    for number in range(2):
        jobs = [world.submission(worker.id) for _ in range(600 if number == 0 else 3)]
        await world.jobs.submit_batch("ten_a", jobs)
        while claimed := await world.claim(capacity=256):
            await append_logs(database, executor_id=EXECUTOR, chunks=[world.chunk(claimed[0], "a line")])
            await world.finish(*[world.end_of(job) for job in claimed])
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
