"""What an executor does with the ends of jobs that the database does not take, or does not confirm."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from runwright.core.job_state import ErrorCode, JobStatus
from runwright.db.pool import Pool
from runwright.executor import claim_loop
from runwright.jobs.model import Job
from runwright.leases.store import expire_lease
from runwright.telemetry.events.executor import (
    ExecutorLeaseLost,
    JobHandedBack,
    JobRecordFailed,
    JobResultRefused,
    StrayClaimHandedBack,
)
from tests.integration.executor.conftest import Engine, MakeEngine

CARD = "def handler(input, env):\n    print('charging the card', flush=True)\n    return {'n': 1}\n"
FAILING = "def handler(input, env):\n    print('charging the card', flush=True)\n    raise ValueError('no')\n"

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'refused by the test'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW {when} EXECUTE FUNCTION refuse();
"""


@asynccontextmanager
async def refusing(
    database: Pool, code: str, table: str = "job_results", when: str = ""
) -> AsyncIterator[None]:
    """Let the server refuse new rows of a table with an SQLSTATE."""
    await database.execute(REFUSE.format(code=code, table=table, when=when))
    try:
        yield
    finally:
        await database.execute("DROP FUNCTION refuse CASCADE")


async def failed_writes(engine: Engine, count: int) -> None:
    """Wait until so many writes of records have failed."""

    async def reached() -> bool:
        return len(engine.telemetry.of(JobRecordFailed)) >= count

    await engine.until(reached)


async def charges(engine: Engine, job: Job) -> int:
    """How often the job's user code has charged the card."""
    logs = await engine.job_views.logs(job.tenant_id, job.id, level=None, limit=500, after=None)
    return sum(line.msg == "charging the card" for line in logs.logs)


async def hunted(engine: Engine) -> None:
    """Wait for two more passes of the claims, each of which looks for lost ones."""
    for _ in range(2):
        passes = engine.executor.claims.loop.passes
        engine.executor.claims.wake()
        await engine.executor.claims.loop.reached(passes + 1)


@pytest.fixture
def hunting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for lost claims at every pass of the claims."""
    monkeypatch.setattr(claim_loop, "LOST_CLAIMS_SECONDS", 0.0)


@pytest.mark.usefixtures("hunting")
@pytest.mark.parametrize(
    "code",
    ["57014", "55P03", "53100", "25006", "42501", "XX000", "P0001", "08006", "40001", "54000", "ZZ999"],
)
async def test_an_end_that_the_database_refuses_is_held_and_the_job_runs_once(
    make_engine: MakeEngine, database: Pool, code: str
) -> None:
    """Whatever is not surely the job's fault: it stays held, is written later, and nobody begins it again."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(CARD)
    async with refusing(database, code):
        job = await engine.submit(worker)
        await failed_writes(engine, 2)
        await hunted(engine)
        assert (await engine.jobs.get(job.tenant_id, job.id)).status is JobStatus.RUNNING
        assert len(engine.executor.runner) == 1
    ended = await engine.ended(job)
    assert (ended.status, ended.attempt, bytes(ended.output)) == (JobStatus.COMPLETED, 1, b'{"n":1}')
    assert await charges(engine, job) == 1
    assert not engine.telemetry.of(StrayClaimHandedBack)
    assert len(engine.executor.runner) == 0


@pytest.mark.usefixtures("hunting")
async def test_a_job_without_retries_runs_once_though_its_results_are_locked(
    make_engine: MakeEngine, database: Pool
) -> None:
    """The lock outlasts the time-out several times."""
    name = await database.fetchval("SELECT quote_ident(current_database())")
    await database.execute(f"ALTER DATABASE {name} SET lock_timeout = '300ms'")
    await database.expire_connections()
    try:
        engine = make_engine()
        await engine.start()
        worker = await engine.worker(CARD)
        async with database.acquire() as holder, holder.transaction():
            await holder.execute("LOCK TABLE job_results IN ACCESS EXCLUSIVE MODE")
            await holder.execute("SET LOCAL lock_timeout = 0")
            job = await engine.submit(worker)
            await failed_writes(engine, 3)
            await hunted(engine)
        ended = await engine.ended(job)
        assert (ended.status, ended.attempt, await charges(engine, job)) == (JobStatus.COMPLETED, 1, 1)
    finally:
        await database.execute(f"ALTER DATABASE {name} RESET lock_timeout")


@pytest.mark.parametrize(("source", "max_retries"), [(CARD, 0), (CARD, 3), (FAILING, 0)])
async def test_an_end_that_can_never_be_stored_becomes_a_failure_that_says_so(
    make_engine: MakeEngine, database: Pool, source: str, max_retries: int
) -> None:
    """A constraint or the data are at fault: the job ends at once, and does not run again."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(source, max_retries=max_retries)
    when = "WHEN (NEW.output IS NOT NULL OR NEW.error ->> 'message' NOT LIKE 'The database cannot store%')"
    async with refusing(database, "23514", when=when):
        ended = await engine.ended(await engine.submit(worker))
    assert (ended.status, ended.attempt) == (JobStatus.FAILED, 1)
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == (
        ErrorCode.HANDLER_ERROR,
        "The database cannot store the result of this attempt.",
    )


async def test_one_end_that_is_refused_holds_up_no_other(make_engine: MakeEngine, database: Pool) -> None:
    """The refused one waits by itself."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker("def handler(input, env):\n    return input\n")
    when = "WHEN (NEW.output ->> 'refused' = 'yes')"
    async with refusing(database, "XX000", when=when):
        refused = await engine.submit(worker, b'{"refused":"yes"}')
        await failed_writes(engine, 2)
        for _ in range(3):
            assert (await engine.ended(await engine.submit(worker))).status is JobStatus.COMPLETED
    assert (await engine.ended(refused)).status is JobStatus.COMPLETED


async def test_an_end_that_is_known_when_the_lease_is_lost_is_still_written(
    make_engine: MakeEngine, database: Pool
) -> None:
    """The database took nothing until after the end of the lease, and no reaper has been there yet."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(CARD)
    async with refusing(database, "53100"):
        job = await engine.submit(worker)
        await failed_writes(engine, 2)
        old_id = engine.executor.id
        await expire_lease(database, executor_id=old_id)
        await _until(lambda: bool(engine.telemetry.of(ExecutorLeaseLost)) and engine.executor.id != old_id)
        assert len(engine.executor.runner) == 1
    ended = await engine.ended(job)
    assert (ended.status, ended.attempt, await charges(engine, job)) == (JobStatus.COMPLETED, 1, 1)


async def test_an_end_is_refused_once_the_job_was_given_to_others(
    make_engine: MakeEngine, database: Pool
) -> None:
    """The reaper ended the job; its end stays, and the executor lets go."""
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(CARD)
    when = "WHEN (NEW.status = 'completed')"
    async with refusing(database, "53100", when=when):
        job = await engine.submit(worker)
        await failed_writes(engine, 2)
        await expire_lease(database, executor_id=engine.executor.id)
        await engine.reaper.start()
        ended = await engine.ended(job)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (JobStatus.FAILED, ErrorCode.EXECUTOR_LOST)
    await asyncio.wait_for(engine.executor.runner.idle.wait(), 60)
    assert [event.job_id for event in engine.telemetry.of(JobResultRefused)] == [job.id]
    assert not engine.telemetry.of(JobHandedBack)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.01)
