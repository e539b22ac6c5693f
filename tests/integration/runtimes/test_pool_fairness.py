"""What a tenant gets of a pool that another one fills."""

from runwright.runtimes.model import AttemptOutcome, OutcomeStatus, WorkerCode
from runwright.runtimes.pool.pool import PoolCapacity
from runwright.runtimes.pool.sandbox import Sandbox
from tests.integration.conftest import JobRecord, MakeStage, Stage

QUICK = "def handler(input, env):\n    return input\n"
SLEEP = "import time\ndef handler(input, env):\n    print('on')\n    time.sleep(60)\n"


def code(stage: Stage, source: str, tenant: str, worker: str) -> WorkerCode:
    return stage.code(source, tenant=tenant, worker=f"{tenant}-{worker}")


def assign(stage: Stage, source: str, tenant: str, worker: str = "w") -> JobRecord:
    return stage.assign_code(code(stage, source, tenant, worker))


def completed(outcome: AttemptOutcome) -> bool:
    return outcome.status is OutcomeStatus.COMPLETED


def sandboxes_of(stage: Stage, tenant: str) -> set[Sandbox]:
    every = stage.pool._inventory.sandboxes  # noqa: SLF001  nobody else knows them
    return {one for one in every if one.code is not None and one.code.tenant_id == tenant}


async def until_begun(stage: Stage, *jobs: JobRecord) -> None:
    await stage.until(lambda: all(job.started for job in jobs))


async def test_tenants_that_hold_no_slot_run_a_job_each_beside_one_that_holds_all(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, newcomer_slots=2)
    assert stage.pool.capacity() == PoolCapacity(2, {}, 2, {})
    await until_begun(stage, *(assign(stage, SLEEP, "long", f"w{n}") for n in range(2)))
    assert stage.pool.capacity() == PoolCapacity(0, {}, 2, {"long": 2})
    first = assign(stage, SLEEP, "a")
    waiting = [assign(stage, QUICK, tenant, "another") for tenant in ("long", "a")]
    second = assign(stage, QUICK, "b")
    await until_begun(stage, first, second)
    await stage.until(lambda: bool(second.outcomes))
    assert completed(second.outcomes[0])
    assert [job.started for job in waiting] == [0, 0], "their tenants hold slots"


async def test_jobs_that_wait_of_a_tenant_that_holds_slots_leave_newcomers_theirs(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, newcomer_slots=2)
    await until_begun(stage, *(assign(stage, SLEEP, "long", f"w{n}") for n in range(2)))
    for n in range(2, 5):
        assign(stage, QUICK, "long", f"w{n}")
    assert stage.pool.capacity() == PoolCapacity(0, {}, 2, {"long": 5})
    await until_begun(stage, assign(stage, SLEEP, "a"))
    assert stage.pool.capacity() == PoolCapacity(0, {}, 1, {"long": 5, "a": 1})


async def test_there_are_no_more_newcomers_than_stated_and_the_next_one_follows_an_end(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=1, newcomer_slots=1)
    jobs = [assign(stage, SLEEP, tenant) for tenant in ("long", "a")]
    await until_begun(stage, *jobs)
    late = [assign(stage, QUICK, tenant) for tenant in ("long", "b")]
    assert stage.pool.capacity().newcomers == 0
    stage.pool.kill(jobs[1].assignment.id)
    await stage.until(lambda: bool(late[1].outcomes))
    assert completed(late[1].outcomes[0])
    assert late[0].started == 0


async def test_the_last_prebooted_sandbox_is_for_a_tenant_that_holds_no_slot(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=3, prebooted={"python": 1}, boot_limit=1)
    await stage.eventually(lambda: len(_prebooted(stage)) == 1)
    blank = _prebooted(stage)
    long = assign(stage, SLEEP, "long")
    await until_begun(stage, long)
    assert blank <= sandboxes_of(stage, "long"), "a tenant that is alone and runs nothing takes it"
    await stage.eventually(lambda: len(_prebooted(stage)) == 1)
    blank = _prebooted(stage)
    more = assign(stage, QUICK, "long", "another")
    await stage.until(lambda: bool(more.outcomes))
    assert not blank & sandboxes_of(stage, "long")
    await until_begun(stage, assign(stage, QUICK, "calm"))
    assert blank == sandboxes_of(stage, "calm")


def _prebooted(stage: Stage) -> set[Sandbox]:
    return {one for stock in stage.pool._inventory._prebooted.values() for one in stock}  # noqa: SLF001


async def test_boots_for_the_backlog_of_one_tenant_leave_room_for_the_first_job_of_another(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=8, prebooted={}, boot_limit=2)
    flood = [assign(stage, QUICK, "flood", f"w{n}") for n in range(8)]
    assert len(sandboxes_of(stage, "flood")) == 2
    calm = assign(stage, QUICK, "calm")
    assert len(sandboxes_of(stage, "calm")) == 1, "it boots at once"
    await stage.until(lambda: all(job.outcomes for job in [*flood, calm]))
    assert all(completed(job.outcomes[0]) for job in [*flood, calm])


async def test_of_jobs_that_wait_in_the_pool_the_tenant_with_fewer_slots_is_first(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2)
    long = [assign(stage, SLEEP, "long", f"w{n}") for n in range(2)]
    await until_begun(stage, *long)
    next_of_long, calm = assign(stage, SLEEP, "long", "w2"), assign(stage, SLEEP, "calm")
    stage.pool.kill(long[0].assignment.id)
    await until_begun(stage, calm)
    assert next_of_long.started == 0


async def test_many_warm_sandboxes_of_one_tenant_do_not_push_out_the_one_of_another(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, warm_limit=3)
    calm = assign(stage, QUICK, "calm")
    await stage.until(lambda: bool(calm.outcomes))
    (warm,) = sandboxes_of(stage, "calm")
    for n in range(6):
        flood = assign(stage, QUICK, "flood", f"w{n}")
        await stage.until(lambda flood=flood: bool(flood.outcomes))  # type: ignore[misc]
        assert stage.pool.stats().sandboxes["python"].get("idle", 0) <= 3
    assert sandboxes_of(stage, "calm") == {warm}
    assert stage.pool.stats().discarded["surplus"] >= 3
