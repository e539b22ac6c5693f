"""Cancelled, killed, handed back or dead: each job of a pool has one outcome, and nothing lives on."""

import asyncio
import contextlib
import os
import signal
import time
from functools import partial

import msgspec
import pytest

from runwright.runtimes.host import Host
from runwright.runtimes.model import OutcomeStatus
from runwright.runtimes.pool.sandbox import Sandbox
from runwright.sandbox.process_tree import processes_with_socket
from tests.integration.conftest import MakeStage, Stage
from tests.integration.runtimes.pool_handlers import POLITE, QUICK, SLEEP, STUBBORN, gone, pids_of, warm

# Cancel, kill, hand back


async def test_a_handler_that_ignores_sigterm_is_killed_after_the_grace_period(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=0.3)
    played = stage.assign(STUBBORN)
    await stage.saying(played, "on")
    [pid] = pids_of(stage)
    began = time.monotonic()
    stage.pool.cancel(played.id)
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert time.monotonic() - began >= 0.3
    assert (played.outcome.status, played.outcome.error_code) == (OutcomeStatus.CANCELLED, "cancelled")
    assert gone(pid)
    assert played.lines[-1].level == "warn"
    assert played.lines[-1].msg.startswith("Handler cancelled after ")


async def test_a_handler_may_clean_up_and_ends_cancelled_whatever_it_returns(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=20)
    played = stage.assign(POLITE)
    await stage.saying(played, "on")
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.CANCELLED
    assert played.outcome.output is None
    assert ("info", "cleaning") in played.said
    await stage.until(lambda: not stage.pool.stats().sandboxes)


async def test_an_async_handler_may_hear_sigterm_on_its_loop(make_stage: MakeStage) -> None:
    stage = await make_stage(grace_seconds=20)
    source = """
import asyncio, signal
async def handler(input, env):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print('on')
    await stop.wait()
    print('cleaning')
"""
    node = """
module.exports = () => new Promise((resolve) => {
  const timer = setInterval(() => {}, 1000)
  process.once('SIGTERM', () => { console.log('cleaning'); clearInterval(timer); resolve() })
  console.log('on')
})
"""
    for played in (stage.assign(source), stage.assign(node, runtime="nodejs")):
        await stage.saying(played, "on")
        stage.pool.cancel(played.id)
        await stage.finish(played)
        assert played.outcome.status is OutcomeStatus.CANCELLED
        assert ("info", "cleaning") in played.said


async def test_a_job_that_waits_in_a_socket_is_cancelled_at_once_and_the_running_one_is_not_touched(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=1, fast_seconds=10, pipeline_seconds=100)
    await warm(stage, SLEEP)
    running = stage.assign(SLEEP, input=b'{"s": 2}')
    first, second, third = (stage.assign(SLEEP) for _ in range(3))
    await stage.saying(running, "on")
    stage.pool.cancel(second.id)
    assert second.outcome.status is OutcomeStatus.CANCELLED
    await stage.finish(running, first, third)
    assert [job.output for job in (running, first, third)] == ["slept"] * 3
    assert second.started == 0
    assert second.lines == []


async def test_cancelling_the_running_job_hands_the_ones_behind_it_to_another_sandbox(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=2, fast_seconds=10, pipeline_seconds=100)
    stage.pool._cpu_count = 1  # noqa: SLF001
    await warm(stage, SLEEP)
    running = stage.assign(SLEEP, input=b'{"s": 1000}')
    behind = [stage.assign(SLEEP) for _ in range(3)]
    await stage.saying(running, "on")
    stage.pool.cancel(running.id)
    await stage.finish(running, *behind)
    assert running.outcome.status is OutcomeStatus.CANCELLED
    assert [job.output for job in behind] == ["slept"] * 3


async def test_a_job_that_waits_for_a_slot_is_cancelled_at_once(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1)
    running = stage.assign(SLEEP, input=b'{"s": 0.3}')
    waiting = stage.assign(QUICK, worker="other")
    stage.pool.cancel(waiting.id)
    assert waiting.outcome.status is OutcomeStatus.CANCELLED
    await stage.finish(running)


async def test_cancelling_a_job_whose_sandbox_still_boots_runs_nothing(stage: Stage) -> None:
    played = stage.assign(QUICK)
    stage.pool.cancel(played.id)
    await stage.finish(played)
    assert (played.outcome.status, played.started) == (OutcomeStatus.CANCELLED, 0)
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED


async def test_an_unknown_token_is_no_matter(stage: Stage) -> None:
    stage.pool.cancel(10**9)
    stage.pool.kill(10**9)
    played = await stage.run(QUICK)
    stage.pool.cancel(played.id)
    stage.pool.kill(played.id)
    assert played.outcome.status is OutcomeStatus.COMPLETED


async def test_a_job_whose_lease_is_lost_is_killed_at_once(stage: Stage) -> None:
    played = stage.assign(STUBBORN)
    await stage.saying(played, "on")
    [pid] = pids_of(stage)
    stage.pool.kill(played.id)
    await stage.finish(played)
    assert (played.outcome.status, played.outcome.error_code) == (OutcomeStatus.FAILED, "executor_lost")
    assert gone(pid)


async def test_kill_of_a_job_that_has_not_begun_hands_it_back(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1)
    first = stage.assign(QUICK)
    second = stage.assign(QUICK, worker="other")
    stage.pool.kill(first.id)
    stage.pool.kill(second.id)
    await stage.finish(first, second)
    assert first.outcome.status is second.outcome.status is OutcomeStatus.UNSTARTED


async def test_kill_all_ends_everything_and_the_pool_goes_on(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=2)
    running = stage.assign(STUBBORN)
    await stage.saying(running, "on")
    await stage.pool.kill_all()
    assert running.outcome.error_code == "executor_lost"
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED


async def test_release_hands_back_what_has_not_begun_and_leaves_the_rest(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=1, fast_seconds=10, pipeline_seconds=100)
    await warm(stage, SLEEP)
    running = stage.assign(SLEEP, input=b'{"s": 2}')
    behind = [stage.assign(SLEEP) for _ in range(3)]
    elsewhere = stage.assign(QUICK, worker="other")
    await stage.saying(running, "on")
    stage.pool.release_unstarted()
    assert {job.outcome.status for job in (*behind, elsewhere)} == {OutcomeStatus.UNSTARTED}
    await stage.finish(running)
    assert running.output == "slept"


# Death


@pytest.mark.parametrize("whom", ["harness", "first process", "bwrap"])
async def test_kill_9_of_any_process_of_a_sandbox_is_handled(make_stage: MakeStage, whom: str) -> None:
    stage = await make_stage(slots=1, fast_seconds=10, pipeline_seconds=100)
    await warm(stage, SLEEP)
    running = stage.assign(SLEEP, input=b'{"s": 1000}')
    behind = [stage.assign(SLEEP) for _ in range(3)]
    await stage.saying(running, "on")
    [sandbox] = stage.pool._inventory.sandboxes  # noqa: SLF001
    pids = {
        "harness": sandbox.process.harness_pid,
        "first process": sandbox.process.tree.root_pid,
        "bwrap": sandbox.process.tree._outer,  # noqa: SLF001
    }
    os.kill(pids[whom], signal.SIGKILL)
    await stage.finish(running, *behind)
    assert (running.outcome.status, running.outcome.error_code) == (OutcomeStatus.FAILED, "handler_error")
    assert "SIGKILL" in running.outcome.error_message
    assert {job.outcome.status for job in behind} == {OutcomeStatus.UNSTARTED}
    assert all(map(gone, pids.values()))
    assert (await stage.run(SLEEP)).output == "slept"


async def test_a_sandbox_killed_while_it_boots_or_rests_costs_nothing(stage: Stage) -> None:
    played = stage.assign(QUICK)
    [sandbox] = stage.pool._inventory.sandboxes  # noqa: SLF001
    await stage.eventually(lambda: sandbox.process.tree._outer > 0)  # noqa: SLF001
    os.kill(sandbox.process.tree._outer, signal.SIGKILL)  # noqa: SLF001
    await stage.finish(played)
    assert played.outcome.status is OutcomeStatus.UNSTARTED
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED
    [sandbox] = stage.pool._inventory.sandboxes  # noqa: SLF001
    os.kill(sandbox.process.harness_pid, signal.SIGKILL)
    await stage.until(lambda: not stage.pool.stats().sandboxes)
    assert (await stage.run(QUICK)).outcome.status is OutcomeStatus.COMPLETED


def _has_a_builder(sandbox: Sandbox) -> bool:
    return sandbox.process.tree._outer > 0  # noqa: SLF001


async def test_a_sandbox_whose_builder_dies_at_any_moment_leaves_nothing_alive(
    make_stage: MakeStage, host: Host
) -> None:
    for cgroup_version in {0, host.cgroup_version}:
        stage = await make_stage(msgspec.structs.replace(host, cgroup_version=cgroup_version))
        for turn in range(12):
            played = stage.assign(QUICK, version=turn)
            [sandbox] = stage.pool._inventory.sandboxes  # noqa: SLF001
            await stage.eventually(partial(_has_a_builder, sandbox))
            builder = sandbox.process.tree._outer  # noqa: SLF001
            await asyncio.sleep(turn / 3000)  # bwrap takes some 4 ms
            with contextlib.suppress(ProcessLookupError):
                os.kill(builder, signal.SIGKILL)
            socket = os.fstat(sandbox._socket.far.fileno()).st_ino  # noqa: SLF001
            await stage.finish(played)
            assert processes_with_socket(socket) == []
            await stage.pool.kill_all()
