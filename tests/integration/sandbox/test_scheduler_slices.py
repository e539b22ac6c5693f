"""The server has short scheduler slices; the sandboxes it starts have the default ones."""

import os
from collections.abc import Iterator

import pytest

from runwright.sandbox.resource_limits import descendants
from runwright.sandbox.scheduler_slices import (
    DEFAULT_NANOSECONDS,
    SHORT_NANOSECONDS,
    get_scheduler_slice,
    set_scheduler_slice,
)
from tests.integration.conftest import Stage


@pytest.fixture
def default() -> Iterator[int]:
    """The default slice; this process has short ones until the test ends."""
    default = get_scheduler_slice(0)
    if not set_scheduler_slice(0, SHORT_NANOSECONDS) or get_scheduler_slice(0) == default:
        pytest.skip("this kernel has no slices to set")
    yield default
    set_scheduler_slice(0, DEFAULT_NANOSECONDS)


async def test_a_sandbox_has_the_default_slices_though_its_server_has_short_ones(
    default: int, stage: Stage
) -> None:
    assert get_scheduler_slice(0) == SHORT_NANOSECONDS
    before = descendants(os.getpid())
    code = "import time\ndef handler(input, env):\n    print('here')\n    time.sleep(20)\n"
    played = stage.assign(code)
    await stage.saying(played, "here")
    started = [pid for pid in descendants(os.getpid()) if pid not in before]
    assert len(started) >= 2
    assert {get_scheduler_slice(pid) for pid in started} == {default}
    stage.pool.kill(played.id)
    await stage.finish(played)


def test_a_process_that_is_gone_has_none() -> None:
    assert not set_scheduler_slice(2**22 - 1, DEFAULT_NANOSECONDS)
