"""Sandboxes die by themselves when their executor stops renewing its lease, whatever runs inside."""

import os
import signal
import time

import psutil
import pytest

from runwright.core.lease_term import LeaseTerm
from runwright.runtimes.host import Host
from runwright.runtimes.model import OutcomeStatus
from runwright.sandbox.lease_guard import LeaseGuard
from runwright.sandbox.resource_limits import start_time
from tests.integration.conftest import MakeStage, Stage

SOON_SECONDS = 0.3
STAY = {
    "a job": "print('on')\n    time.sleep(1000)",
    "a job that ignores every signal": (
        "for n in range(1, 65):\n        try: signal.signal(n, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n"
        "    print('on')\n    while True: pass"
    ),
    "a daemon in a session of its own": (
        "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            os.closerange(0, 64)\n"
        "            while True: pass\n        os._exit(0)\n    print('on')\n    time.sleep(1000)"
    ),
    "a job that closes what it has": "print('on', flush=True)\n    os.closerange(4, 64)\n    while True: pass",
    "a job that stops every process which it may": (
        "print('on')\n"
        "    for pid in (1, -1):\n        try: os.kill(pid, signal.SIGSTOP)\n        except OSError: pass\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n    while True: pass"
    ),
}


def guard_of(stage: Stage) -> LeaseGuard:
    launcher = stage.pool._inventory._launcher  # noqa: SLF001
    assert launcher is not None
    return launcher._guard  # noqa: SLF001


def processes_of(stage: Stage) -> list[int]:
    found: list[int] = []
    for sandbox in stage.pool._inventory.sandboxes:  # noqa: SLF001
        found += sandbox.process.limits.survivors()
    return found


@pytest.mark.parametrize("body", STAY.values(), ids=STAY)
@pytest.mark.parametrize("level", ["sandboxed", "bare"])
async def test_a_sandbox_dies_with_the_lease_whatever_it_does(
    make_stage: MakeStage, host: Host, bare: Host, body: str, level: str
) -> None:
    if level == "bare" and os.geteuid():
        pytest.skip("without a sandbox and without a uid of its own, code is trusted")
    stage = await make_stage(bare if level == "bare" else host)
    source = f"import os, signal, time\ndef handler(input, env):\n    {body}\n"
    played = stage.assign(source, seconds=600)
    await stage.saying(played, "on")
    inside = processes_of(stage)
    stage.term.set_end(time.monotonic() + SOON_SECONDS)
    await stage.finish(played)
    assert (played.outcome.status, played.outcome.error_code) == (OutcomeStatus.FAILED, "executor_lost")
    assert [pid for pid in inside if start_time(pid) is not None] == []


async def test_a_lease_that_is_renewed_in_time_costs_nothing(make_stage: MakeStage) -> None:
    stage = await make_stage()
    stage.term.set_end(time.monotonic() + 60)
    played = stage.assign(
        "import time\ndef handler(input, env):\n    print('on')\n    time.sleep(1)\n    return 7"
    )
    stage.term.set_end(time.monotonic() + SOON_SECONDS)
    stage.term.set_end(time.monotonic() + 60)
    await stage.finish(played)
    assert played.output == 7


async def test_a_guard_that_is_killed_is_replaced_and_knows_every_sandbox(make_stage: MakeStage) -> None:
    stage = await make_stage()
    played = stage.assign(
        "import time\ndef handler(input, env):\n    print('on')\n    time.sleep(1000)", seconds=600
    )
    await stage.saying(played, "on")
    guard, first = guard_of(stage), guard_of(stage).pid
    os.kill(first, signal.SIGKILL)
    await stage.eventually(lambda: guard.pid not in {0, first})
    assert not played.outcomes
    stage.term.set_end(time.monotonic())
    await stage.finish(played)
    assert played.outcome.error_code == "executor_lost"


async def test_no_sandbox_starts_after_the_end_of_the_lease(make_stage: MakeStage) -> None:
    stage = await make_stage(prebooted={"python": 1})
    stage.term.set_end(time.monotonic())
    played = await stage.run("def handler(input, env):\n    return 1")
    assert played.outcome.status in {OutcomeStatus.UNSTARTED, OutcomeStatus.FAILED}
    assert played.started == 0 or played.outcome.error_code == "executor_lost"
    stage.term.set_end(time.monotonic() + 600)
    assert (await stage.run("def handler(input, env):\n    return 1")).output == 1


async def test_the_guard_ends_with_its_pool(make_stage: MakeStage) -> None:
    stage = await make_stage()
    pid = guard_of(stage).pid
    assert psutil.pid_exists(pid)
    await stage.pool.stop()
    assert not psutil.pid_exists(pid)


def test_a_term_without_a_lease_never_ends() -> None:
    term = LeaseTerm()
    assert term.held()
    term.set_end(time.monotonic() - 1)
    assert not term.held()
