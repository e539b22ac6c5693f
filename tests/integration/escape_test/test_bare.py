"""Every attempt gets out where there is no sandbox: so the escape test can fail."""

import os
from collections.abc import Iterator

import pytest

from runwright.escape_test.canaries import Canaries, lay_baits
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import Attempt
from tests.integration.escape_test.bare import run_bare

ATTEMPTS = find_attempts()
LACKING = {
    "kernel-magic-keys": ("ENOENT", "this kernel has no /proc/sysrq-trigger"),
    "loading-a-module": ("ENOSYS", "this kernel has no modules"),
    "input-and-output-ports": ("ENOSYS", "this kernel has no iopl"),
    "kernel-events": ("EPROTONOSUPPORT", "this kernel has no audit log"),
}
"""What cannot be shown where the kernel itself lacks what the attempt is after, and how that looks."""


@pytest.fixture(scope="module")
def baits() -> Iterator[Canaries]:
    with lay_baits() as laid:
        yield laid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could do all that sandboxes must stop")
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[one.name for one in ATTEMPTS])
def test_it_gets_out_without_a_sandbox(attempt: Attempt, baits: Canaries) -> None:
    escaped, said = run_bare(attempt, baits)
    lack, reason = LACKING.get(attempt.name, ("", ""))
    if lack and said.startswith(lack):
        pytest.skip(reason)
    assert escaped, said
