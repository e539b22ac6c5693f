"""The server goes first when it wakes up; what it starts for users does not."""

import os
from collections.abc import Iterator

import pytest

from runwright.sandbox.resource_limits import descendants
from runwright.sandbox.scheduler_slices import SHORT_NANOSECONDS, USUAL, set_scheduler_slice, slice_of
from tests.integration.conftest import Stage


@pytest.fixture
def usual() -> Iterator[int]:
    """The usual slices; this process has short ones until the test is over."""
    usual = slice_of(0)
    if not set_scheduler_slice(0, SHORT_NANOSECONDS) or slice_of(0) == usual:
        pytest.skip("this kernel has no slices to set")
    yield usual
    set_scheduler_slice(0, USUAL)


async def test_a_sandbox_has_the_usual_slices_though_its_server_has_short_ones(
    usual: int, stage: Stage
) -> None:
    assert slice_of(0) == SHORT_NANOSECONDS
    before = descendants(os.getpid())
    code = "import time\ndef handler(input, env):\n    print('here')\n    time.sleep(20)\n"
    played = stage.assign(code)
    await stage.saying(played, "here")
    started = [pid for pid in descendants(os.getpid()) if pid not in before]
    assert len(started) >= 2
    assert {slice_of(pid) for pid in started} == {usual}
    stage.pool.kill(played.id)
    await stage.finish(played)


def test_a_process_that_is_gone_has_none() -> None:
    assert not set_scheduler_slice(2**22 - 1, USUAL)
