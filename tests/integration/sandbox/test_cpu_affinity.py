"""Long jobs leave processors to others, and only while there are others."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.runtimes.host import Host
from runwright.sandbox.cgroups import WAY
from runwright.sandbox.cpu_affinity import (
    AT_WORK_SECONDS,
    LONG_FOR_SECONDS,
    LONG_SECONDS,
    CpuAffinity,
    CpuShare,
)
from tests.integration.conftest import JobRecord, MakeStage, Stage

FOUR = range(4)
ALL = CpuShare(frozenset(FOUR), gives_way=False)
LESS = CpuShare(frozenset({1, 2, 3}), gives_way=True)
SHORT = "def handler(input, env):\n    return 1\n"
LONG = "import time\ndef handler(input, env):\n    print('on', flush=True)\n    time.sleep(60)\n"


def test_a_tenant_that_is_alone_has_all() -> None:
    processors = CpuAffinity(1, FOUR)
    processors.begin("a", 0.0)
    processors.ran("a", 60.0, 60.0)
    assert processors.of("a") == ALL
    assert processors.of_new() == ALL


def test_long_jobs_leave_some_to_others_until_those_or_they_have_gone() -> None:
    processors = CpuAffinity(1, FOUR)
    processors.begin("a", 0.0)
    processors.begin("b", 0.0)
    processors.ran("a", LONG_SECONDS, 1.0)
    processors.ran("b", LONG_SECONDS / 2, 1.0)
    assert (processors.of("a"), processors.of("b")) == (LESS, ALL)
    processors.look(AT_WORK_SECONDS + 0.5)
    assert processors.of("a") == ALL  # nobody else is at work
    processors.begin("b", 20.0)
    assert processors.of("a") == LESS
    processors.begin("b", LONG_FOR_SECONDS + 1.0)
    processors.look(LONG_FOR_SECONDS + 1.0)
    assert processors.of("a") == ALL  # its jobs have been short


@given(spared=st.integers(0, 200), usable=st.sets(st.integers(0, 99), min_size=1))
def test_nobody_is_left_without_any(spared: int, usable: set[int]) -> None:
    processors = CpuAffinity(spared, usable)
    for tenant in ("a", "b"):
        processors.begin(tenant, 0.0)
        processors.ran(tenant, 1.0, 1.0)
    share = processors.of("a")
    assert share.gives_way, "though nothing could be spared"
    assert share.processors
    assert share.processors <= usable
    assert len(usable - share.processors) == min(spared, len(usable) - 1)


async def _beside_a_long_job(stage: Stage) -> tuple[JobRecord, dict[str, int]]:
    """Run a long job of one tenant and a short one of another; return it, and who is whose harness."""
    long = stage.assign(LONG)
    await stage.saying(long, "on")
    played = stage.assign_code(stage.code(SHORT, worker="short", tenant="other"))
    await stage.finish(played)
    sandboxes = stage.pool._inventory.sandboxes  # noqa: SLF001
    return long, {one.code.tenant_id: one.process.harness_pid for one in sandboxes if one.code}


def _let_the_other_go(stage: Stage) -> None:
    later = asyncio.get_running_loop().time() + AT_WORK_SECONDS
    stage.pool._cpus.look(later)  # noqa: SLF001  as if it were later


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing can be spared")
async def test_a_long_job_keeps_off_a_processor_while_another_tenant_is_at_work(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=4)
    everywhere = os.sched_getaffinity(0)
    long, harnesses = await _beside_a_long_job(stage)

    def processors(tenant_id: str) -> set[int]:
        return os.sched_getaffinity(harnesses[tenant_id])

    await stage.eventually(lambda: len(processors("ten")) == len(everywhere) - 1)
    assert processors("other") == everywhere
    _let_the_other_go(stage)
    await stage.eventually(lambda: processors("ten") == everywhere)
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing can be spared")
async def test_what_is_started_meanwhile_keeps_off_it_from_its_first_instant(make_stage: MakeStage) -> None:
    stage = await make_stage(slots=8)
    long, harnesses = await _beside_a_long_job(stage)
    some = len(os.sched_getaffinity(0)) - 1
    await stage.eventually(lambda: len(os.sched_getaffinity(harnesses["ten"])) == some)
    for version in range(2, 6):
        await stage.run(SHORT, version=version)
    sandboxes = [one for one in stage.pool._inventory.sandboxes if one.code and one.code.version > 1]  # noqa: SLF001
    everybody = [pid for one in sandboxes for pid in one.process.limits.survivors()]
    assert len(everybody) > len(sandboxes), "each has a root and a harness"
    assert {len(os.sched_getaffinity(pid)) for pid in everybody} == {some}
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    assert {len(os.sched_getaffinity(one)) for one in threads} == {some + 1}, "who starts them has all again"
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


async def test_a_long_job_gives_way_while_another_tenant_is_at_work(
    make_stage: MakeStage, host: Host
) -> None:
    if not host.cgroup_version:
        pytest.skip("nothing weighs sandboxes here")
    name, usual = ("cpu.shares", 1024) if host.cgroup_version == 1 else ("cpu.weight", 100)
    stage = await make_stage(slots=4)
    long, harnesses = await _beside_a_long_job(stage)
    group = {tenant_id: _group_of(pid, name) for tenant_id, pid in harnesses.items()}

    def weights() -> list[int]:
        """Of all sandboxes as the host sees them, of the one with the long job, of the other one."""
        folders = [group["ten"].parent, group["ten"], group["other"]]
        return [int((folder / name).read_text()) for folder in folders]

    await stage.eventually(lambda: weights() == [usual // WAY, usual // WAY, usual])
    _let_the_other_go(stage)
    await stage.eventually(lambda: weights() == [usual, usual, usual])
    stage.pool.cancel(long.assignment.id)
    await stage.finish(long)


def _group_of(pid: int, weight: str) -> Path:
    """Return the control group in which the kernel weighs a process; others come and go while we look."""
    for folder in Path("/sys/fs/cgroup").rglob("sandbox-*"):
        with contextlib.suppress(OSError):
            if (folder / weight).exists() and str(pid) in (folder / "cgroup.procs").read_text().split():
                return folder
    raise AssertionError(pid)
