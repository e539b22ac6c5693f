"""One bad row holds up no other: whatever takes rows in batches takes a batch that fails apart.

The row is bad in the database's eyes: a trigger refuses it with an error of the test's choice. `INVALID` is
surely the row's fault; `BROKEN` may be anybody's; `LOCKED` passes, as a rule, but not for this row.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import asyncpg
import pytest

from runwright.automations.dispatch import POSTPONED
from runwright.automations.model import Run, RunStatus
from runwright.bulk.model import BulkAction, BulkStatus
from runwright.bulk.service import TRIES, BulkOperations, BulkSteps
from runwright.core.clock import system_clock
from runwright.core.ids import new_id
from runwright.core.job_state import JobStatus
from runwright.db.batching import SPLIT_AFTER_TRIES
from runwright.db.errors import invalid
from runwright.db.pool import Pool, open_pool
from runwright.job_views.model import JobFilter
from runwright.leases.store import expire_lease
from runwright.loops.pruner import Pruner, Retention
from runwright.loops.reaper import Reaper
from runwright.loops.scheduler import Scheduler
from runwright.telemetry.events.outbox import OutboxSetAside
from runwright.telemetry.events.schedules import ScheduleNotFired
from runwright.telemetry.events.server import ItemSetAside
from runwright.webhooks.sending import WebhookSubject
from runwright.workers.model import WorkerStatus
from tests.integration.agents.callback_server import CallbackServer
from tests.integration.agents.world import World as AgentWorld
from tests.integration.automations.world import AutomationWorld
from tests.integration.jobs.world import EXECUTOR
from tests.integration.jobs.world import World as JobWorld
from tests.integration.loops.test_sender import OK, Loops, answering
from tests.integration.schedules.world import ScheduleWorld
from tests.telemetry import RecordedTelemetry

INVALID, BROKEN, LOCKED = "23514", "XX001", "55P03"
SECONDS = 60.0


async def refuse(db: Pool, event: str, table: str, when: str, code: str) -> None:
    """Let an insert, update or delete of certain rows of a table fail; `refusals` counts how often."""
    await db.execute("CREATE SEQUENCE IF NOT EXISTS refused")
    await db.execute(
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM nextval('refused'); RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"
    )
    await db.execute(
        f"CREATE TRIGGER refused BEFORE {event} ON {table} FOR EACH ROW WHEN ({when})"
        " EXECUTE FUNCTION refuse()"
    )


async def refusals(db: Pool) -> int:
    """Return how often a row was refused, also where that was rolled back."""
    count: int = await db.fetchval("SELECT last_value FROM refused WHERE is_called")
    return count


async def heal(db: Pool, table: str) -> None:
    await db.execute(f"DROP TRIGGER refused ON {table}")


@pytest.fixture
async def automations(database: Pool) -> AsyncIterator[AutomationWorld]:
    world = AutomationWorld(database)
    yield world
    await world.offload.stop()


async def due_runs(world: AutomationWorld, count: int) -> Sequence[Run]:
    await world.agent()
    return [await world.start(await world.job_automation()) for _ in range(count)]


async def run_of(world: AutomationWorld, run: Run) -> tuple[str, int, datetime | None]:
    """Return status, attempt and due time of a run."""
    row = await world.db.fetchrow(
        "SELECT r.status, r.attempt, q.due_at FROM automation_runs r LEFT JOIN run_queue q ON q.run_id = r.id"
        " WHERE r.id = $1",
        run.id,
    )
    assert row is not None
    return row["status"], row["attempt"], row["due_at"]


@pytest.mark.parametrize("code", [INVALID, BROKEN, LOCKED])
async def test_a_run_that_cannot_be_dispatched(automations: AutomationWorld, code: str) -> None:
    """At fault it fails; otherwise it waits, and no attempt is counted."""
    world = automations
    runs = await due_runs(world, 5)
    bad = runs[2]
    await refuse(world.db, "INSERT", "jobs", f"NEW.triggered_by = '{bad.automation_id}'", code)
    for _ in range(SPLIT_AFTER_TRIES - 1 if code == LOCKED else 0):
        with pytest.raises(asyncpg.PostgresError):
            await world.dispatch_ready()
    done = await world.dispatch_ready()
    assert (done.jobs, [run_id for run_id, _ in done.failed]) == (4, [bad.id])
    for run in runs:
        if run is not bad:
            assert (await run_of(world, run))[0] == RunStatus.RUNNING
    if code == INVALID:
        assert await run_of(world, bad) == (RunStatus.FAILED, 1, None)
        return
    status, attempt, due_at = await run_of(world, bad)
    assert (status, attempt) == (RunStatus.SCHEDULED, 1)
    assert due_at == world.now + POSTPONED
    await heal(world.db, "jobs")
    world.forward(POSTPONED.total_seconds())
    assert (await world.dispatch_ready()).jobs == 1


async def test_a_run_of_a_newer_release(automations: AutomationWorld) -> None:
    """Its plan cannot be read here; it waits for a process that can."""
    world = automations
    runs = await due_runs(world, 3)
    await world.db.execute("UPDATE automation_runs SET plan = '[1]' WHERE id = $1", runs[0].id)
    done = await world.dispatch_ready()
    assert (done.jobs, [run_id for run_id, _ in done.failed]) == (2, [runs[0].id])
    assert (await run_of(world, runs[0]))[2] == world.now + POSTPONED


async def test_a_prompt_that_trips_us_up(
    automations: AutomationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the renderer ends the attempt that it happened to."""
    world = automations
    await world.agent()
    await world.trigger(prompt="see {{ .Data.what }}")
    await world.publish("custom.happened", what="this")
    await world.route()
    good = await world.start(await world.job_automation())

    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(world.templates, "render_here", fail)
    assert (await world.dispatch_ready()).jobs == 1
    assert (await run_of(world, good))[0] == RunStatus.RUNNING
    assert await world.db.fetchval("SELECT count(*) FROM automation_runs WHERE status = 'failed'") == 1


@pytest.mark.parametrize("code", [INVALID, BROKEN, LOCKED])
async def test_an_agents_call_whose_job_cannot_be_submitted(database_url: str, code: str) -> None:
    db = await open_pool(database_url, max_size=8, by_key=True)
    jobs = JobWorld(db)
    await jobs.executor()
    async with CallbackServer(AgentWorld(db), callers=1).connected() as server:
        agents = [
            await server.world.agent(f"a{n}", worker_id=(await jobs.worker()).id, events=["result.submitted"])
            for n in range(4)
        ]
        await refuse(db, "INSERT", "jobs", f"NEW.triggered_by = '{agents[1].id}'", code)
        await server.world.publish_and_route()

        async def submitted() -> bool:
            return bool(await db.fetchval("SELECT count(*) = 3 FROM jobs"))

        await server.until(submitted)
        assert len(server.telemetry.of(OutboxSetAside)) >= 1
        assert await db.fetchval("SELECT sum(failed_attempts) FROM outbox") == 0
        await heal(db, "jobs")
        server.world.forward(10)

        async def all_submitted() -> bool:
            return bool(await db.fetchval("SELECT count(*) = 4 FROM jobs"))

        await server.until(all_submitted)
    jobs.notifications.stop()
    await db.close()


async def test_a_delivery_that_cannot_be_loaded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    db = await open_pool(database_url, max_size=8, by_key=True)
    loops = Loops(db, senders=1)
    load = WebhookSubject.load

    async with answering(None, OK) as (url, bodies):
        bad = await loops.world.endpoint(url=url, patterns=["webhook.*"])
        for _ in range(3):
            await loops.world.endpoint(url=url, patterns=["webhook.*"])

        async def spoilt(self: WebhookSubject, pool: Pool, claims: Sequence[object]) -> object:
            if any(claim.destination_id == bad.id for claim in claims):  # type: ignore[attr-defined]
                raise ValueError("not as expected")
            return await load(self, pool, claims)  # type: ignore[arg-type]

        monkeypatch.setattr(WebhookSubject, "load", spoilt)
        await loops.router.start()
        await loops.senders[0].start()
        await loops.append(1)

        async def arrived() -> bool:
            return await loops.count("delivered") == 3

        await loops.until(arrived)
        assert len(bodies) == 3
        assert loops.telemetry.of(OutboxSetAside)
        assert await loops.count("pending", bad) == 1
        for loop in (loops.router, *loops.senders):
            await loop.stop()
        assert await db.fetchval("SELECT claimed FROM outbox") is False, "it is back in the queue"
    loops.event_notifications.stop()
    await db.close()


async def failed_jobs(world: JobWorld, count: int) -> Sequence[str]:
    worker = await world.worker()
    await world.executor()
    ids = [(await world.job(worker)).id for _ in range(count)]
    world.forward(1)
    await world.finish(*(world.end_of(one, JobStatus.FAILED) for one in await world.claim()))
    return ids


@pytest.mark.parametrize(("code", "tries"), [(INVALID, 1), (BROKEN, TRIES)])
async def test_jobs_that_a_bulk_operation_cannot_retry(database: Pool, code: str, tries: int) -> None:
    """Each counts as failed, alone: at once if it is at fault, after a few tries if it need not be."""
    world = JobWorld(database)
    bulk = BulkOperations(database, clock=world.clock)
    ids = await failed_jobs(world, 6)
    bad = (ids[2], ids[0])  # neither is the first of a pair: they are visited from the last one on
    await refuse(database, "INSERT", "job_retries", f"NEW.job_id IN {bad}", code)
    started = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    steps = BulkSteps(database, clock=world.clock, notifications=world.notifications)
    notified: list[datetime | None] = []
    world.notifications.on_ready(notified.append)
    while await steps.step():
        pass
    ended = await bulk.get("ten_a", started.id)
    assert (ended.status, ended.done, ended.failed) == (BulkStatus.COMPLETED, 4, 2)
    assert ids[0] in (ended.error or "")
    assert await refusals(database) == 1 + len(bad) * tries
    assert len(notified) == ended.done, "once for each step, here of one job"
    world.notifications.stop()


async def test_a_bulk_operation_of_a_newer_release(database: Pool) -> None:
    world = JobWorld(database)
    bulk = BulkOperations(database, clock=world.clock)
    await failed_jobs(world, 1)
    unreadable = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    await database.execute("UPDATE bulk_operations SET selection = '[1]'")
    world.forward(1)
    good = await bulk.start(world.caller(), BulkAction.RETRY, JobFilter())
    steps = BulkSteps(database, clock=world.clock, notifications=world.notifications)
    with pytest.raises(Exception, match="Expected"):
        await steps.step()
    while await steps.step():
        pass
    rows = await database.fetch("SELECT id, status FROM bulk_operations")
    status = {row["id"]: row["status"] for row in rows}
    assert status == {unreadable.id: BulkStatus.RUNNING, good.id: BulkStatus.COMPLETED}
    world.notifications.stop()


def reaper_of(world: JobWorld, telemetry: RecordedTelemetry) -> Reaper:
    return Reaper(
        world.db,
        clock=world.clock,
        notifications=world.notifications,
        emit=telemetry,
        interval_seconds=0.01,
    )


async def let_pass(loop: Reaper | Scheduler | Pruner, passes: int) -> None:
    await loop.start()
    async with asyncio.timeout(SECONDS):
        while loop.loop.passes < passes:
            loop.loop.wake()
            await loop.loop.reached(loop.loop.passes + 1)
    await loop.stop()


@pytest.mark.parametrize("code", [INVALID, BROKEN, LOCKED])
async def test_a_lost_job_that_cannot_be_ended(database: Pool, code: str) -> None:
    world, telemetry = JobWorld(database), RecordedTelemetry()
    worker = await world.worker()
    await world.executor()
    jobs = [await world.job(worker) for _ in range(5)]
    world.forward(1)
    await world.claim()
    await refuse(database, "INSERT", "job_results", f"NEW.job_id = '{jobs[2].id}'", code)
    await expire_lease(database, executor_id=EXECUTOR)
    await let_pass(reaper_of(world, telemetry), SPLIT_AFTER_TRIES + 1)
    left = [row["job_id"] for row in await database.fetch("SELECT job_id FROM job_queue")]
    assert left == [jobs[2].id]
    assert {event.id for event in telemetry.of(ItemSetAside)} == {jobs[2].id}
    world.notifications.stop()


async def test_a_job_of_a_deprecated_worker_that_cannot_be_cancelled(database: Pool) -> None:
    world, telemetry = JobWorld(database), RecordedTelemetry()
    worker = await world.worker()
    jobs = [await world.job(worker) for _ in range(3)]
    await refuse(database, "INSERT", "job_results", f"NEW.job_id = '{jobs[1].id}'", BROKEN)
    await database.execute("UPDATE workers SET status = $1", WorkerStatus.DEPRECATED)
    await let_pass(reaper_of(world, telemetry), 1)
    assert [row["job_id"] for row in await database.fetch("SELECT job_id FROM job_queue")] == [jobs[1].id]
    world.notifications.stop()


async def test_a_schedule_whose_rows_are_locked_for_ever(database: Pool) -> None:
    world = ScheduleWorld(database)
    worker = await world.worker()
    bad = await world.schedule(worker)
    await world.schedule(worker)
    world.forward(60)
    await refuse(database, "INSERT", "ticks", f"NEW.schedule_id = '{bad.id}'", LOCKED)
    scheduler = world.scheduler(batch=10)
    await let_pass(scheduler, SPLIT_AFTER_TRIES + 1)
    assert len(await world.jobs_made()) == 1
    assert {event.schedule_id for event in world.telemetry.of(ScheduleNotFired)} == {bad.id}
    world.notifications.stop()


async def test_a_schedule_that_newer_zone_rules_cannot_move(database: Pool) -> None:
    """It stays as it is; the others move, and all that is due fires."""
    world = ScheduleWorld(database)
    worker = await world.worker()
    bad, good = await world.schedule(worker), await world.schedule(worker)
    await database.execute("UPDATE schedules SET zone_rules = 'old'")
    await refuse(database, "UPDATE", "schedules", f"NEW.id = '{bad.id}' AND NEW.zone_rules <> 'old'", BROKEN)
    scheduler = world.scheduler(batch=10)
    await let_pass(scheduler, 1)
    rows = await database.fetch("SELECT id, zone_rules FROM schedules")
    rules = {row["id"]: row["zone_rules"] for row in rows}
    assert rules[bad.id] == "old"
    assert rules[good.id] != "old"
    await heal(database, "schedules")
    world.forward(60)
    await let_pass(scheduler, scheduler.loop.passes + 2)
    assert len(await world.jobs_made()) == 2
    world.notifications.stop()


async def test_a_kind_of_rows_that_cannot_be_deleted(database: Pool) -> None:
    """The kinds that come after it are deleted all the same."""
    telemetry = RecordedTelemetry()
    long_ago = system_clock() - timedelta(days=50)
    await database.execute(
        "INSERT INTO audit_log (id, tenant_id, user_id, key_id, role, request_id, action, subject_id, created_at)"
        " VALUES ($2, 'ten_a', 'u', 'k', 'x', 'req_1', 'x', 'x', $1)",
        long_ago,
        new_id("aud", long_ago),
    )
    await database.execute(
        "INSERT INTO events (tenant_id, type, subject_id, created_at) VALUES ('ten_a', 'x', 's', $1)",
        long_ago,
    )
    await refuse(database, "DELETE", "events", "true", BROKEN)
    days = Retention(jobs_days=1, logs_days=1, runs_days=1, ticks_days=1, events_days=1, audit_days=1)
    await let_pass(Pruner(database, retention=days, clock=system_clock, emit=telemetry), 1)
    assert await database.fetchval("SELECT count(*) FROM audit_log") == 0
    assert await database.fetchval("SELECT count(*) FROM events") == 1
    assert [event.id for event in telemetry.of(ItemSetAside)] == ["events"]


def test_the_errors_are_of_the_kinds_that_they_stand_for() -> None:
    """A code that is moved in the table must not make these tests prove less."""
    kinds = [invalid(asyncpg.PostgresError.new({"C": code})) for code in (INVALID, BROKEN, LOCKED)]
    assert kinds == [True, False, False]
