"""What the pool promises to the executor: one outcome each, order, cancel, kill, hand-back, reuse."""

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import pytest
import uvloop

from runwright.core.clock import system_clock
from runwright.runtimes.host import Host, RuntimeInfo
from runwright.runtimes.model import Assignment, AttemptOutcome, OutcomeStatus, WorkerCode
from runwright.runtimes.pool.pool import Pool, PoolCapacity, PoolSettings
from tests.integration.conftest import JobRecord, MakeStage, Stage
from tests.integration.runtimes.pool_handlers import QUICK, SLEEP, STUBBORN, gone, pids_of, warm

# Life


async def test_a_pool_that_was_not_started_can_be_stopped_and_hands_jobs_back(host: Host) -> None:
    stage = Stage(host, PoolSettings(prebooted={}))
    await stage.pool.stop()
    played = await stage.run(QUICK)
    assert played.outcome.status is OutcomeStatus.UNSTARTED


async def test_start_and_stop_may_be_called_twice_and_start_again_after_stop(make_stage: MakeStage) -> None:
    stage = await make_stage()
    await stage.pool.start()
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED
    await stage.pool.stop()
    await stage.pool.stop()
    await stage.pool.start()
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED


async def test_stop_ends_what_runs_as_lost_and_what_waits_as_unstarted_and_leaves_no_process(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=1)
    running = stage.assign(STUBBORN)
    await stage.saying(running, "on")
    waiting = stage.assign(QUICK, worker="other")
    pids = pids_of(stage)
    await stage.pool.stop()
    assert (running.outcome.status, running.outcome.error_code) == (OutcomeStatus.FAILED, "executor_lost")
    assert waiting.outcome.status is OutcomeStatus.UNSTARTED
    assert all(map(gone, pids))


async def test_the_stock_is_filled_and_its_first_job_waits_for_no_boot(make_stage: MakeStage) -> None:
    stage = await make_stage(prebooted={"python": 1, "nodejs": 1, "shell": 1})
    await stage.eventually(lambda: blanks(stage) == 3)
    for source, runtime in ((QUICK, "python"), ("module.exports = () => 1", "nodejs"), ("echo 1", "shell")):
        played = stage.assign(source, runtime=runtime)
        assert stage.pool.stats().waiting == 0
        await stage.finish(played)


def blanks(stage: Stage) -> int:
    return sum(by_state.get("blank", 0) for by_state in stage.pool.stats().sandboxes.values())


async def test_the_pool_runs_on_uvloop_too(host: Host) -> None:
    def everything() -> AttemptOutcome:
        async def play() -> AttemptOutcome:
            stage = Stage(host, PoolSettings(prebooted={}))
            await stage.pool.start()
            played = await stage.run(QUICK)
            await stage.pool.stop()
            return played.outcome

        return uvloop.run(play())

    assert (await asyncio.to_thread(everything)).status is OutcomeStatus.COMPLETED


# Placement


async def test_a_sandbox_serves_one_version_of_one_worker_only(stage: Stage) -> None:
    source = "seen = []\ndef handler(input, env):\n    seen.append(1)\n    return len(seen)\n"
    outputs = [
        (await stage.run(source, worker=worker, version=version)).output
        for worker, version in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1))
    ]
    assert outputs == [1, 2, 1, 1, 3]


async def test_no_more_sandboxes_run_than_there_are_slots(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2)
    assert stage.pool.capacity() == PoolCapacity(2, {})
    source = "import os, time\ndef handler(input, env):\n    time.sleep(0.05)\n    return os.getpid()\n"
    jobs = [stage.assign(source, worker=f"w{n % 4}") for n in range(8)]
    assert stage.pool.capacity().free == 0
    most = 0
    while not all(job.outcomes for job in jobs):
        states = stage.pool.stats().sandboxes.get("python", {})
        most = max(most, states.get("busy", 0) + states.get("booting", 0) + states.get("dying", 0))
        stage._changed.clear()  # noqa: SLF001
        await stage._changed.wait()  # noqa: SLF001
    assert most <= 2
    assert stage.pool.capacity().free == 2
    assert stage.rooms > 0


async def test_jobs_of_a_slow_worker_never_wait_behind_each_other(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2)
    await stage.run(SLEEP, input=b'{"s": 0.05}')
    assert stage.pool.capacity().fast == {}
    jobs = [stage.assign(SLEEP, input=b'{"s": 0.1}') for _ in range(3)]
    stats = stage.pool.stats()
    assert (stats.running, stats.waiting) == (2, 1)
    await stage.finish(*jobs)


async def test_jobs_of_a_fast_worker_wait_in_its_sandboxes_and_end_in_order(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2, fast_seconds=10, pipeline_seconds=100)
    await warm(stage)
    jobs = [stage.assign(QUICK, input=b'{"n": %d}' % n) for n in range(60)]
    assert stage.pool.stats().running > 2
    await stage.finish(*jobs)
    assert [job.output for job in jobs] == [{"n": n} for n in range(60)]
    assert all(job.started == 1 for job in jobs)
    assert stage.pool.stats().booted <= 2


async def test_room_tells_how_many_more_jobs_of_a_fast_worker_fit(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1, fast_seconds=10, pipeline_seconds=100)
    await warm(stage)
    first = stage.assign(QUICK)
    room = stage.pool.capacity()
    assert room.free == 0
    assert 1 <= room.fast["wkr"] <= 64
    jobs = [stage.assign(QUICK) for _ in range(room.fast["wkr"])]
    assert stage.pool.capacity().fast == {}
    assert stage.pool.stats().waiting == 0
    await stage.finish(first, *jobs)


async def test_jobs_behind_one_that_turns_out_slow_are_given_to_another_sandbox(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, fast_seconds=0.3, pipeline_seconds=100)
    await warm(stage, SLEEP)
    stage.pool._cpu_count = 1  # noqa: SLF001  as on a host with one cpu: queue before opening more
    slow = stage.assign(SLEEP, input=b'{"s": 4}')
    behind = stage.assign(SLEEP)
    assert stage.pool.stats().running == 2
    await stage.finish(behind)
    assert behind.output == "slept"
    assert not slow.outcomes
    await stage.finish(slow)
    assert slow.output == "slept"


async def test_callbacks_may_call_back_into_the_pool(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2)
    more: list[JobRecord] = []

    def on_outcome(_played: JobRecord) -> None:
        if len(more) < 50:
            more.append(stage.assign(QUICK, input=b'{"n": %d}' % len(more)))
            if len(more) % 5 == 0:
                stage.pool.cancel(more[-1].id)
            stage.pool.capacity()

    stage.on_outcome = on_outcome
    first = [stage.assign(QUICK) for _ in range(5)]
    await stage.until(lambda: len(more) == 50 and all(job.outcomes for job in more))
    await stage.finish(*first)
    # UNSTARTED: it waited inside a sandbox that a cancelled job took along, and may run elsewhere.
    assert {job.outcome.status for job in more} <= {
        OutcomeStatus.COMPLETED,
        OutcomeStatus.CANCELLED,
        OutcomeStatus.UNSTARTED,
    }


# Lifetimes


async def test_idle_sandboxes_are_thrown_away(make_stage: MakeStage) -> None:
    stage = await make_stage(idle_seconds=0.1)
    await stage.run(QUICK)
    await stage.until(lambda: not stage.pool.stats().sandboxes)
    assert stage.pool.stats().discarded == {"idle": 1}


async def test_of_many_idle_sandboxes_only_some_are_kept(make_stage: MakeStage) -> None:
    stage = await make_stage(warm_limit=1)
    for n in range(3):
        await stage.run(QUICK, worker=f"w{n}")
    await stage.until(lambda: stage.pool.stats().discarded == {"surplus": 2})


async def test_a_sandbox_is_replaced_when_it_is_worn_out_even_under_load(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1, max_jobs_per_sandbox=10)
    await warm(stage)
    jobs = [stage.assign(QUICK) for _ in range(40)]
    await stage.finish(*jobs)
    assert {job.outcome.status for job in jobs} == {OutcomeStatus.COMPLETED}
    await stage.run(QUICK)  # what waited inside the worn one was still run there
    assert stage.pool.stats().booted >= 2


async def test_a_sandbox_that_cannot_boot_hands_its_job_back_and_says_why(
    make_stage: MakeStage, host: Host
) -> None:
    broken = msgspec.structs.replace(host.interpreters["python"], flags=("--no-such-flag",))
    stage = await make_stage(
        msgspec.structs.replace(host, interpreters={**host.interpreters, "python": broken})
    )
    played = await stage.run(QUICK)
    assert played.outcome.status is OutcomeStatus.UNSTARTED
    await stage.until(lambda: "python" in stage.pool.stats().boot_failures)
    assert "no-such-flag" in stage.pool.stats().boot_failures["python"]


async def test_a_host_that_cannot_start_processes_hands_jobs_back_and_says_why(
    make_stage: MakeStage, host: Host
) -> None:
    stage = await make_stage(msgspec.structs.replace(host, bwrap="/nonexistent"))
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.UNSTARTED
    assert "could not be started" in stage.pool.stats().boot_failures["python"]
    assert "No such file" in stage.pool.stats().boot_failures["python"]


@pytest.mark.parametrize("runtime", ["deno", "cobol"])
async def test_a_runtime_that_is_not_offered_is_a_load_error_that_says_why(
    make_stage: MakeStage, host: Host, runtime: str
) -> None:
    absent = {"deno": RuntimeInfo(name="deno", ready=False, reason="it is not installed")}
    stage = await make_stage(msgspec.structs.replace(host, runtimes=absent, interpreters={}))
    outcome = (await stage.run("", runtime=runtime)).outcome
    reason = {"deno": "it is not installed", "cobol": "this host does not offer it"}[runtime]
    assert outcome.error_code == "load_error"
    assert outcome.error_message == f"The runtime {runtime} is not available: {reason}"


async def test_a_thousand_jobs_in_and_out_leave_no_descriptor_behind(make_stage: MakeStage) -> None:
    def descriptors() -> int:
        count = 0
        for link in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(FileNotFoundError):
                count += str(link.readlink()) != "/proc/locks"  # a thread of the pool opens it now and then
        return count

    stage = await make_stage(slots=2)
    before = descriptors()
    for round_ in range(3):
        await stage.run(QUICK, worker=f"w{round_}")
        await warm(stage)
        await stage.pool.kill_all()
    assert descriptors() == before


def test_quick_jobs_share_sandboxes(host: Host) -> None:
    """Five thousand quick jobs need no more sandboxes than there are slots."""
    code = WorkerCode(
        key="k",
        tenant_id="t",
        worker_id="w",
        version=1,
        runtime="python",
        entrypoint="main.py",
        source=QUICK.encode(),
        memory_mb=256,
        network="none",
    )

    async def play(count: int) -> int:
        ended = assigned = 0
        done = asyncio.Event()

        def on_outcome(_a: Assignment, _o: AttemptOutcome) -> None:
            nonlocal ended
            ended += 1
            if ended == count:
                done.set()

        def fill() -> None:
            nonlocal assigned
            capacity = pool.capacity()
            for _ in range(min(max(capacity.free, capacity.fast.get("w", 0)), count - assigned)):
                assigned += 1
                pool.assign(
                    Assignment(
                        id=assigned,
                        job_id="j",
                        attempt=1,
                        code=code,
                        input=b"{}",
                        env={},
                        timeout_seconds=30,
                    )
                )

        pool = Pool(
            settings=PoolSettings(slots=2, prebooted={}),
            host=host,
            clock=system_clock,
            on_started=lambda _a, _t: None,
            on_line=lambda _a, _l: None,
            on_outcome=on_outcome,
            on_capacity=fill,
        )
        await pool.start()
        fill()
        await done.wait()
        booted = pool.stats().booted
        await pool.stop()
        return booted

    assert uvloop.run(play(5_000)) <= 2


async def test_code_that_is_sent_ahead_runs_with_its_first_job_and_not_before(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(prebooted={"python": 1})
    source = "import time\nloaded = time.time_ns()\ndef handler(input, env):\n    return loaded\n"
    code = stage.code(source)
    await stage.eventually(lambda: stage.pool.stats().sandboxes.get("python", {}).get("blank", 0) > 0)
    stage.pool.preload(code)
    assert stage.pool.stats().sandboxes["python"].get("idle") == 1
    stage.pool.preload(code)
    assert stage.pool.stats().sandboxes["python"].get("idle") == 1
    await stage.run("def handler(input, env):\n    return 1\n", worker="another")
    assigned = time.time_ns()
    played = stage.assign_code(code)
    await stage.finish(played)
    assert isinstance(played.output, int)
    assert played.output > assigned
    assert (await stage.run(source)).output == played.output


async def test_code_of_a_runtime_that_is_not_there_is_not_sent_ahead(make_stage: MakeStage) -> None:
    stage = await make_stage(prebooted={"python": 1})
    await stage.eventually(lambda: stage.pool.stats().sandboxes == {"python": {"blank": 1}})
    stage.pool.preload(stage.code("x", runtime="cobol"))
    stage.pool.preload(stage.code("x", entrypoint="../escape.py"))
    assert stage.pool.stats().sandboxes == {"python": {"blank": 1}}


async def test_starting_a_sandbox_does_not_hold_up_the_loop(stage: Stage) -> None:
    """The kernel takes its time to start a process in a group: a thread waits for it."""
    played = stage.assign(QUICK)
    [sandbox] = stage.pool._inventory.sandboxes  # noqa: SLF001
    assert sandbox.process.tree._outer == 0  # noqa: SLF001  its start has returned before there is a process
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.COMPLETED


async def test_a_sandbox_is_born_in_its_group_and_nobody_else_is_in_there(stage: Stage, host: Host) -> None:
    if host.cgroup_version != 1:
        pytest.skip("only here can a thread go in first")
    await stage.run(QUICK)
    [harness] = pids_of(stage)
    inside = Path(f"/proc/{harness}/cgroup").read_text().splitlines()
    for controller in ("memory", "pids", "cpu"):
        [line] = [line for line in inside if f":{controller}:" in line]
        assert "/sandbox-" in line
    for thread in Path("/proc/self/task").iterdir():
        assert "sandbox-" not in (thread / "cgroup").read_text()
