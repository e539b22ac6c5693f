"""Long jobs leave CPUs to other tenants, and only while others are active."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.runtimes.host import Host
from runwright.sandbox.cgroups import LOW_PRIORITY_DIVISOR
from runwright.sandbox.cpu_affinity import (
    ACTIVE_SECONDS,
    LONG_FOR_SECONDS,
    LONG_SECONDS,
    CpuAffinity,
    CpuShare,
)
from tests.integration.conftest import JobRecord, MakeStage, Stage

FOUR = range(4)
FULL = CpuShare(frozenset(FOUR), deprioritized=False)
REDUCED = CpuShare(frozenset({1, 2, 3}), deprioritized=True)
SHORT = "def handler(input, env):\n    return 1\n"
LONG = "import time\ndef handler(input, env):\n    print('on', flush=True)\n    time.sleep(1000)\n"


def test_a_tenant_that_is_alone_has_all_cpus() -> None:
    cpus = CpuAffinity(1, FOUR)
    cpus.record_start("a", 0.0)
    cpus.record_runtime("a", 60.0, 60.0)
    assert cpus.share_of("a") == FULL
    assert cpus.boot_share() == FULL


def test_long_jobs_leave_cpus_to_others_until_either_has_ended() -> None:
    cpus = CpuAffinity(1, FOUR)
    cpus.record_start("a", 0.0)
    cpus.record_start("b", 0.0)
    cpus.record_runtime("a", LONG_SECONDS, 1.0)
    cpus.record_runtime("b", LONG_SECONDS / 2, 1.0)
    assert (cpus.share_of("a"), cpus.share_of("b")) == (REDUCED, FULL)
    cpus.expire(ACTIVE_SECONDS + 0.5)
    assert cpus.share_of("a") == FULL  # no other tenant is active
    cpus.record_start("b", 20.0)
    assert cpus.share_of("a") == REDUCED
    cpus.record_start("b", LONG_FOR_SECONDS + 1.0)
    cpus.expire(LONG_FOR_SECONDS + 1.0)
    assert cpus.share_of("a") == FULL  # its jobs have been short


@given(spared=st.integers(0, 200), usable=st.sets(st.integers(0, 99), min_size=1))
def test_no_tenant_is_left_without_a_cpu(spared: int, usable: set[int]) -> None:
    cpus = CpuAffinity(spared, usable)
    for tenant in ("a", "b"):
        cpus.record_start(tenant, 0.0)
        cpus.record_runtime(tenant, 1.0, 1.0)
    share = cpus.share_of("a")
    assert share.deprioritized, "though nothing could be spared"
    assert share.cpus
    assert share.cpus <= usable
    assert len(usable - share.cpus) == min(spared, len(usable) - 1)


async def _beside_a_long_job(stage: Stage) -> tuple[JobRecord, dict[str, int]]:
    """Run a long job of one tenant and a short one of another; return it, and the harness of each tenant."""
    long = stage.assign(LONG)
    await stage.saying(long, "on")
    played = stage.assign_code(stage.code(SHORT, worker="short", tenant="other"))
    await stage.finish(played)
    sandboxes = stage.pool._inventory.sandboxes  # noqa: SLF001
    return long, {one.code.tenant_id: one.process.harness_pid for one in sandboxes if one.code}


def _let_the_other_have_short_jobs(stage: Stage) -> None:
    """Let the other tenant be active for as long as the test takes, with short jobs only."""
    cpus = stage.pool._cpus  # noqa: SLF001
    cpus._long.pop("other", None)  # noqa: SLF001  on a busy machine its job may have been a long one
    cpus.record_start("other", asyncio.get_running_loop().time() + 1000)


def _let_the_other_become_inactive(stage: Stage) -> None:
    for noted in (stage.pool._cpus._long, stage.pool._cpus._active):  # noqa: SLF001  as if it were later
        noted.pop("other", None)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU")
async def test_a_long_job_leaves_a_cpu_while_another_tenant_is_active(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=4)
    everywhere = os.sched_getaffinity(0)
    long, harnesses = await _beside_a_long_job(stage)

    def cpus(tenant_id: str) -> set[int]:
        return os.sched_getaffinity(harnesses[tenant_id])

    def has_fewer() -> bool:
        _let_the_other_have_short_jobs(stage)
        return len(cpus("ten")) == len(everywhere) - 1 and cpus("other") == everywhere

    await stage.eventually(has_fewer)
    _let_the_other_become_inactive(stage)
    await stage.eventually(lambda: cpus("ten") == everywhere)
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU")
async def test_a_sandbox_started_meanwhile_leaves_it_from_its_first_instant(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=8)
    long, harnesses = await _beside_a_long_job(stage)
    some = len(os.sched_getaffinity(0)) - 1

    def has_fewer() -> bool:
        _let_the_other_have_short_jobs(stage)
        return len(os.sched_getaffinity(harnesses["ten"])) == some

    await stage.eventually(has_fewer)
    for version in range(2, 6):
        await stage.run(SHORT, version=version)
    sandboxes = [one for one in stage.pool._inventory.sandboxes if one.code and one.code.version > 1]  # noqa: SLF001
    processes = [pid for one in sandboxes for pid in one.process.limits.survivors()]
    assert len(processes) > len(sandboxes), "each has a root and a harness"
    assert {len(os.sched_getaffinity(pid)) for pid in processes} == {some}
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    assert {len(os.sched_getaffinity(one)) for one in threads} == {some + 1}, (
        "the thread that starts them has all CPUs again"
    )
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


async def test_a_long_job_is_deprioritized_while_another_tenant_is_active(
    make_stage: MakeStage, host: Host
) -> None:
    if not host.cgroup_version:
        pytest.skip("this host has no cgroups")
    name, default = ("cpu.shares", 1024) if host.cgroup_version == 1 else ("cpu.weight", 100)
    stage = await make_stage(slots=4)
    long, harnesses = await _beside_a_long_job(stage)
    group = {tenant_id: _group_of(pid, name) for tenant_id, pid in harnesses.items()}

    def weights() -> list[int]:
        """Return the weights of all sandboxes together, of the long job's sandbox, of the other one."""
        folders = [group["ten"].parent, group["ten"], group["other"]]
        return [int((folder / name).read_text()) for folder in folders]

    def is_deprioritized() -> bool:
        _let_the_other_have_short_jobs(stage)
        return weights() == [default // LOW_PRIORITY_DIVISOR, default // LOW_PRIORITY_DIVISOR, default]

    await stage.eventually(is_deprioritized)
    _let_the_other_become_inactive(stage)
    await stage.eventually(lambda: weights() == [default, default, default])
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


def _group_of(pid: int, weight: str) -> Path:
    """Return the cgroup of a process in the CPU hierarchy; other groups come and go meanwhile."""
    for folder in Path("/sys/fs/cgroup").rglob("sandbox-*"):
        with contextlib.suppress(OSError):
            if (folder / weight).exists() and str(pid) in (folder / "cgroup.procs").read_text().split():
                return folder
    raise AssertionError(pid)
