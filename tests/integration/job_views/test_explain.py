"""Every condition of a claim is a reason, at exactly the point where it holds a job back."""

from datetime import timedelta

from runwright.core.job_state import JobStatus
from runwright.job_views.explain import explain_job
from runwright.job_views.model import Reason
from runwright.job_views.service import JobViews
from runwright.jobs.model import Job
from runwright.leases.store import expire_lease, renew_lease
from runwright.workers.model import Worker, WorkerChanges, WorkerStatus
from tests.integration.jobs.world import EXECUTOR, World


async def reasons(world: World, job: Job) -> list[Reason]:
    """The reasons for a job's status, after a look at what is around them."""
    why = await world.job_views.explain(job.tenant_id, job.id)
    assert (why.job_id, why.status) == (job.id, await world.status(job))
    assert why.summary == why.reasons[0].message
    return why.reasons


async def test_a_job_that_nothing_holds_is_next(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(), priority=7)
    assert await reasons(world, job) == [Reason("next", "Nothing holds it; it is next in line (priority 7).")]


async def test_without_a_living_executor_that_has_its_runtime_it_waits_for_one(world: World) -> None:
    job = await world.job(await world.worker())
    nothing = [Reason("no_executors", "No executor is running.")]
    assert await reasons(world, job) == nothing
    await world.executor("exe_lost")
    await expire_lease(world.db, executor_id="exe_lost")
    await world.executor("exe_drains")
    await renew_lease(world.db, executor_id="exe_drains", lease_seconds=60, draining=True)
    assert await reasons(world, job) == nothing
    await world.executor("exe_other", runtimes=["nodejs"])
    assert await reasons(world, job) == [
        Reason(
            "no_suitable_executor", "No running executor offers the runtime python.", {"runtime": "python"}
        )
    ]
    await world.executor()
    assert [reason.code for reason in await reasons(world, job)] == ["next"]


async def test_a_job_whose_runtime_is_an_extra_names_the_extra(world: World) -> None:
    job = await world.job(await world.worker())
    await world.db.execute("UPDATE workers SET runtime = 'wasm'")
    await world.executor(runtimes=["python"])
    [reason] = await reasons(world, job)
    assert reason.message == "No running executor offers the runtime wasm: runwright[wasm] brings it."


async def test_a_time_to_start_is_a_reason_until_it_has_come(world: World) -> None:
    await world.executor()
    start = world.now + timedelta(seconds=90)
    job = await world.job(await world.worker(), scheduled_at=start)
    assert await reasons(world, job) == [
        Reason("scheduled", "It is scheduled to start in 90.0 s.", {"run_at": start})
    ]
    world.forward(89.96)
    assert [reason.message for reason in await reasons(world, job)] == ["It is scheduled to start in 0.0 s."]
    world.forward(0.04)
    assert [reason.code for reason in await reasons(world, job)] == ["next"]


async def test_a_back_off_is_a_reason(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker(max_retries=1))
    [claimed] = await world.claim()
    await world.finish(world.end_of(claimed, JobStatus.FAILED, retry_in=12))
    assert await reasons(world, job) == [
        Reason(
            "retry_backoff",
            "Attempt 2 starts in 12.0 s, after the back-off.",
            {"run_at": world.now + timedelta(seconds=12)},
        )
    ]


async def test_a_worker_that_is_not_active_is_a_reason(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    job = await world.job(worker)
    await world.workers.change(world.caller(), worker.id, WorkerChanges(status=WorkerStatus.PAUSED))
    assert await reasons(world, job) == [
        Reason("worker_paused", "Its worker is paused; it runs when the worker is active again.")
    ]
    # It is deprecated and its jobs are cancelled right after; here they are not yet.
    await world.db.execute("UPDATE workers SET status = 'deprecated' WHERE id = $1", worker.id)
    assert await reasons(world, job) == [
        Reason("worker_deprecated", "Its worker is deprecated; it is about to be cancelled.")
    ]


async def busy(world: World, worker: Worker, jobs: int) -> Job:
    """Let some jobs run, and return one more."""
    for _ in range(jobs):
        await world.job(worker)
    assert len(await world.claim()) == jobs
    return await world.job(worker)


async def test_the_limit_of_its_worker_is_a_reason_once_it_is_reached(world: World) -> None:
    await world.executor()
    worker = await world.worker(max_concurrency=3)
    job = await busy(world, worker, 2)
    assert [reason.code for reason in await reasons(world, job)] == ["next"]
    await world.claim()
    job = await world.job(worker)
    assert await reasons(world, job) == [
        Reason(
            "max_concurrency",
            "Its worker runs 3 jobs at once, its limit.",
            {"running": 3, "max_concurrency": 3},
        )
    ]


async def test_the_quota_of_the_tenant_is_a_reason_once_it_is_reached(world: World) -> None:
    await world.executor()
    limits = {"ten_a": 2}
    views = JobViews(
        world.db,
        world.jobs,
        clock=world.clock,
        notifications=world.notifications,
        running_limit_of=limits.__getitem__,
    )
    worker = await world.worker()
    job = await busy(world, worker, 1)
    await world.db.execute("UPDATE job_queue SET tenant_slot = 1 WHERE state = 'running'")
    assert [reason.code for reason in (await views.explain("ten_a", job.id)).reasons] == ["next"]
    limits["ten_a"] = 1
    assert (await views.explain("ten_a", job.id)).reasons == [
        Reason(
            "tenant_running_jobs",
            "The tenant runs 1 jobs at once, its quota.",
            {"running": 1, "running_jobs": 1},
        )
    ]


async def test_full_executors_are_a_reason_and_so_are_jobs_in_front(world: World) -> None:
    await world.executor()  # with four slots
    worker = await world.worker()
    job = await busy(world, worker, 3)
    assert [reason.code for reason in await reasons(world, job)] == ["next"]
    await world.claim()
    first, second = await world.job(worker), await world.job(worker)
    full = Reason("executors_busy", "All 4 slots are taken.", {"slots": 4, "running": 4})
    assert await reasons(world, first) == [full]
    assert await reasons(world, second) == [
        full,
        Reason("behind_others", "1 jobs of its worker are before it.", {"ahead": 1}),
    ]


async def test_an_executor_with_one_slot_is_full_with_one_job(world: World) -> None:
    await world.executor(slots=1)
    job = await busy(world, await world.worker(), 1)
    assert await reasons(world, job) == [
        Reason("executors_busy", "All 1 slots are taken.", {"slots": 1, "running": 1})
    ]


async def test_slots_for_newcomers_hold_back_only_the_jobs_of_tenants_that_hold_a_slot(world: World) -> None:
    """Whether a job is held back is what a claim does."""
    await world.executor(slots=2, newcomer_slots=1)
    mine, theirs, others = [await world.worker(tenant) for tenant in ("ten_a", "ten_b", "ten_c")]
    job = await busy(world, mine, 2)
    assert await reasons(world, job) == [
        Reason(
            "executors_busy",
            "All 2 slots are taken. Further ones (1) are for tenants that hold none.",
            {"slots": 2, "running": 2, "newcomer_slots": 1},
        )
    ]
    newcomer = await world.job(theirs)
    assert [reason.code for reason in await reasons(world, newcomer)] == ["next"]
    claimed = await world.claim_all(capacity=0, newcomers=1, holding={"ten_a": 2})
    assert [one.job_id for one in claimed.attempts] == [newcomer.id]
    late = await world.job(others)
    assert await reasons(world, late) == [
        Reason(
            "executors_busy",
            "All 2 slots are taken, and so are the 1 for tenants that hold none.",
            {"slots": 2, "running": 3, "newcomer_slots": 1},
        )
    ]


async def test_only_executors_that_have_the_runtime_are_looked_at(world: World) -> None:
    await world.executor(slots=1)
    await world.executor("exe_other", runtimes=["nodejs"], slots=7)
    job = await busy(world, await world.worker(), 1)
    assert await reasons(world, job) == [
        Reason("executors_busy", "All 1 slots are taken.", {"slots": 1, "running": 1})
    ]


async def test_all_reasons_are_given_those_of_the_tenant_and_the_worker_first(world: World) -> None:
    worker = await world.worker()
    await world.job(worker)
    job = await world.job(worker)
    await world.db.execute("UPDATE tenants SET status = 'suspended' WHERE id = 'ten_a'")
    await world.workers.change(world.caller(), worker.id, WorkerChanges(status=WorkerStatus.PAUSED))
    codes = [reason.code for reason in await reasons(world, job)]
    assert codes == ["tenant_suspended", "worker_paused", "no_executors", "behind_others"]


async def test_a_running_job_says_since_when_and_whether_it_is_being_cancelled(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    await world.claim()
    running = Reason("running", f"Attempt 1 has been running since {world.now}.")
    assert await reasons(world, job) == [running]
    await world.jobs.cancel(world.caller(), job.id)
    assert await reasons(world, job) == [
        running,
        Reason("cancelling", "A cancel was asked for; the handler has its grace period."),
    ]


async def test_a_job_that_was_claimed_meanwhile_is_starting(world: World) -> None:
    await world.executor()
    job = await world.job(await world.worker())
    [claimed] = await world.claim()
    starting = [Reason("starting", "An executor has just taken it.")]
    assert (await explain_job(world.db, job=job, now=world.now)).reasons == starting
    await world.finish(world.end_of(claimed), executor_id=EXECUTOR)
    assert (await explain_job(world.db, job=job, now=world.now)).reasons == starting


async def test_a_job_that_has_ended_says_how(world: World) -> None:
    await world.executor()
    worker = await world.worker()
    good, bad = await world.job(worker), await world.job(worker)
    one, other = await world.claim()
    await world.finish(world.end_of(one), world.end_of(other, JobStatus.FAILED))
    assert await reasons(world, good) == [Reason("ended", "It ended completed.")]
    assert await reasons(world, bad) == [Reason("handler_error", "It ended failed: no")]
