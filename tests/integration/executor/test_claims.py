"""When an executor claims, how many share the work, and what a tenant gets that runs nothing."""

import asyncio
from collections import Counter

import msgspec
import pytest

from runwright.core.clock import system_clock
from runwright.core.job_state import TERMINAL
from runwright.executor import claim_loop
from runwright.executor.claim_loop import LOOK_SECONDS
from runwright.jobs.model import Job
from runwright.jobs.store.claim import QUEUE_WINDOW
from runwright.workers.model import RuntimeName
from tests.integration.executor.conftest import CALLER, Engine, MakeEngine
from tests.submissions import submission

QUICK = "def handler(input, env):\n    return 1\n"
SLOW = "import time\ndef handler(input, env):\n    print('begun', flush=True)\n    time.sleep(60)\n"
NODE_SLOW = (
    "exports.handler = async () => { console.log('begun'); await new Promise(r => setTimeout(r, 60000)) }"
)
SLEEPS = "import time\ndef handler(input, env):\n    time.sleep(0.2)\n"

MANY_QUEUES = """
WITH made AS (
    INSERT INTO workers SELECT (jsonb_populate_record(w, jsonb_build_object('id', w.id || n, 'status', $2::text))).*
    FROM workers w, generate_series(1, $3) n WHERE w.id = $1 RETURNING id, tenant_id
)
INSERT INTO job_queue (tenant_id, job_id, worker_id, trigger, priority, run_at, rank, retries_left, worker_version)
SELECT tenant_id, 'job_' || id, id, 'manual', 5, now(), now(), 0, 1 FROM made
"""


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by looking once a second."""
    monkeypatch.setattr(claim_loop, "LOOK_SECONDS", 3600.0)


async def begun(engine: Engine, job: Job) -> None:
    await engine.until(lambda: engine.has_line(job, "begun"))


async def pauses_until_rest(engine: Engine) -> list[float]:
    """Claim as the loop does, and return the pauses up to the first that is not zero."""
    pauses = [await engine.executor.claims.loop._make_pass()]  # noqa: SLF001  the loop is stopped meanwhile
    while pauses[-1] <= 0:
        pauses.append(await engine.executor.claims.loop._make_pass())  # noqa: SLF001
        assert len(pauses) < 50, "it never rests"
    return pauses


@pytest.mark.usefixtures("no_polls")
async def test_executors_that_claim_at_once_all_get_work_without_waiting_for_a_poll(
    make_engine: MakeEngine,
) -> None:
    engines = [make_engine(slots=3) for _ in range(3)]
    for engine in engines:
        await engine.start()
    worker = await engines[0].worker(SLEEPS)
    jobs = [await engines[0].submit(worker) for _ in range(45)]
    for engine in engines:
        engine.notifications.jobs_ready()
    for job in jobs:
        await engines[0].ended(job)
    ran = await engines[0].db.fetch("SELECT executor_id, count(*) FROM job_results GROUP BY 1")
    assert {row[0] for row in ran} == {engine.executor.id for engine in engines}
    assert sum(row[1] for row in ran) == 45


@pytest.mark.usefixtures("no_polls")
async def test_what_a_competitor_was_taking_is_claimed_when_it_lets_go_without_another_hint(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    worker = await engine.worker(QUICK)
    claims = engine.executor.claims
    job = await engine.jobs.submit(submission(CALLER, worker.id, system_clock()))
    async with engine.db.acquire() as competitor, competitor.transaction():
        await competitor.fetch("SELECT FROM job_queue FOR UPDATE")
        await engine.start()  # only its first claim is not due to what the competitor is taking
        await claims.loop.reached(3)
    await engine.until(lambda: _has_ended(engine, job))


async def _has_ended(engine: Engine, job: Job) -> bool:
    return (await engine.jobs.get(job.tenant_id, job.id)).status in TERMINAL


@pytest.mark.usefixtures("no_polls")
async def test_a_slot_of_a_limited_worker_that_a_full_executor_frees_is_used_by_another(
    make_engine: MakeEngine,
) -> None:
    full, other = make_engine(slots=1), make_engine(slots=1)
    await full.start()
    limited, greedy = await full.worker(NODE_SLOW, runtime=RuntimeName.NODEJS), await full.worker(SLOW)
    await full.db.execute("UPDATE workers SET max_concurrency = 1 WHERE id = $1", limited.id)
    first = await full.submit(limited)
    await begun(full, first)
    taken_next, second = await full.submit(greedy), await full.submit(limited)
    claims = other.executor.claims
    claims._settings = msgspec.structs.replace(claims._settings, runtimes=["nodejs"])  # noqa: SLF001
    await other.start()
    await claims.loop.reached(1)
    full.notifications._send = lambda payload: _forward_ready(other, payload)  # noqa: SLF001
    await full.jobs.cancel(CALLER, first.id)
    await begun(full, taken_next)
    await begun(other, second)


def _forward_ready(engine: Engine, payload: str) -> None:
    if payload.endswith(" ready"):
        engine.notifications.receive("another ready")


@pytest.mark.parametrize("why", ["paused", "suspended", "full"])
async def test_claims_rest_after_a_round_over_jobs_that_cannot_run(make_engine: MakeEngine, why: str) -> None:
    engine = make_engine()
    await engine.start()
    worker = await engine.worker(QUICK)
    await engine.executor.claims.loop.stop()
    status = "paused" if why == "paused" else "active"
    await engine.db.execute(MANY_QUEUES, worker.id, status, QUEUE_WINDOW + 50)
    if why == "suspended":
        await engine.db.execute("UPDATE tenants SET status = 'suspended'")
    if why == "full":
        await engine.db.execute("UPDATE tenants SET running_jobs = 0")
    for _ in range(2):
        engine.executor.claims.wake()
        windows = 2 if why == "paused" else 1
        assert await pauses_until_rest(engine) == [0.0] * (windows - 1) + [LOOK_SECONDS]


async def test_claims_rest_while_only_a_tenant_waits_that_holds_all_slots(make_engine: MakeEngine) -> None:
    engine = make_engine(slots=1, newcomer_slots=2)
    await engine.start()
    worker = await engine.worker(SLOW)
    await begun(engine, await engine.submit(worker))
    await engine.executor.claims.loop.stop()
    for _ in range(3):
        await engine.submit(worker)
    paced = await pauses_until_rest(engine)
    assert 0 < paced[-1] <= claim_loop.NEWCOMER_SECONDS or paced == [LOOK_SECONDS]
    await asyncio.sleep(claim_loop.NEWCOMER_SECONDS)
    assert (await pauses_until_rest(engine))[-1] > claim_loop.NEWCOMER_SECONDS


@pytest.mark.usefixtures("no_polls")
async def test_tenants_that_run_nothing_start_at_once_beside_one_that_holds_all_slots(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(slots=2, newcomer_slots=3)
    await engine.start()
    long = await engine.worker(SLOW, tenant="ten_long")
    jobs = [await engine.submit(long) for _ in range(6)]
    for job in jobs[:2]:
        await begun(engine, job)
    for n in range(3):
        await begun(engine, await engine.submit(await engine.worker(SLOW, tenant=f"ten_{n}")))
    held = await engine.db.fetch("SELECT tenant_id FROM job_queue WHERE state = 'running'")
    running = Counter(row[0] for row in held)
    # A submit that starts its job at once may come beside a claim: then one more of them waits in the pool.
    assert running.pop("ten_long") < 6
    assert running == {"ten_0": 1, "ten_1": 1, "ten_2": 1}
