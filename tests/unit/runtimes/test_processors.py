"""Long jobs leave processors to others, and only while there are others."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.runtimes.processors import AT_WORK_SECONDS, LONG_FOR_SECONDS, LONG_SECONDS, Processors
from tests.unit.runtimes.conftest import MakeStage

FOUR = range(4)
SHORT = "def handler(input, env):\n    return 1\n"
LONG = "import time\ndef handler(input, env):\n    print('on', flush=True)\n    time.sleep(60)\n"


def test_a_tenant_that_is_alone_has_all() -> None:
    processors = Processors(1, FOUR)
    processors.begin("a", 0.0)
    processors.ran("a", 60.0, 60.0)
    assert processors.of("a") == frozenset(FOUR)
    assert not processors.tight


def test_long_jobs_leave_some_to_others_until_those_or_they_have_gone() -> None:
    processors = Processors(1, FOUR)
    processors.begin("a", 0.0)
    processors.begin("b", 0.0)
    processors.ran("a", LONG_SECONDS, 1.0)
    processors.ran("b", LONG_SECONDS / 2, 1.0)
    assert (processors.of("a"), processors.of("b")) == (frozenset({1, 2, 3}), frozenset(FOUR))
    processors.look(AT_WORK_SECONDS + 0.5)
    assert processors.of("a") == frozenset(FOUR)  # nobody else is at work
    processors.begin("b", 20.0)
    assert processors.of("a") == frozenset({1, 2, 3})
    processors.begin("b", LONG_FOR_SECONDS + 1.0)
    processors.look(LONG_FOR_SECONDS + 1.0)
    assert processors.of("a") == frozenset(FOUR)  # its jobs have been short


@given(spared=st.integers(0, 200), usable=st.sets(st.integers(0, 99), min_size=1))
def test_nobody_is_left_without_any(spared: int, usable: set[int]) -> None:
    processors = Processors(spared, usable)
    for tenant in ("a", "b"):
        processors.begin(tenant, 0.0)
        processors.ran(tenant, 1.0, 1.0)
    assert processors.of("a")
    assert processors.of("a") <= usable
    assert len(usable - processors.of("a")) == min(spared, len(usable) - 1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing can be spared")
async def test_a_long_job_keeps_off_a_processor_while_another_tenant_is_at_work(
    make_stage: MakeStage,
) -> None:
    stage = await make_stage(slots=4)
    everywhere = os.sched_getaffinity(0)

    long = stage.assign(LONG)
    await stage.saying(long, "on")
    played = stage.assign_code(stage.code(SHORT, worker="short", tenant="other"))
    await stage.finish(played)
    by_tenant = {s.code.tenant_id: s for s in stage.pool._fleet.sandboxes if s.code}  # noqa: SLF001

    def processors(tenant_id: str) -> set[int]:
        return os.sched_getaffinity(by_tenant[tenant_id].harness_pid)

    await stage.eventually(lambda: len(processors("ten")) == len(everywhere) - 1)
    assert processors("other") == everywhere
    loop = asyncio.get_running_loop()
    stage.pool._processors.look(loop.time() + AT_WORK_SECONDS)  # noqa: SLF001  as if it were later
    await stage.eventually(lambda: processors("ten") == everywhere)
    stage.pool.cancel(long.assignment.token)
    await stage.finish(long)
