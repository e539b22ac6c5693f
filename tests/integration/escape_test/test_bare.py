"""Every attempt escapes where there is no sandbox: so the escape test can fail."""

import os
from collections.abc import Iterator

import pytest

from runwright.escape_test.canaries import Canaries, plant_canaries
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import EscapeAttempt
from tests.integration.escape_test.bare import run_bare

ATTEMPTS = find_attempts()
LACKING = {
    "magic-sysrq": ("ENOENT", "this kernel has no /proc/sysrq-trigger"),
    "loading-a-module": ("ENOSYS", "this kernel has no modules"),
    "io-ports": ("ENOSYS", "this kernel has no iopl"),
    "audit-log": ("EPROTONOSUPPORT", "this kernel has no audit log"),
}
"""Attempts whose target this kernel may lack, with the error that shows it."""


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with plant_canaries() as planted:
        yield planted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do everything that sandboxes must prevent")
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[one.name for one in ATTEMPTS])
def test_it_escapes_without_a_sandbox(attempt: EscapeAttempt, canaries: Canaries) -> None:
    escaped, report = run_bare(attempt, canaries)
    lack, reason = LACKING.get(attempt.name, ("", ""))
    if lack and report.startswith(lack):
        pytest.skip(reason)
    assert escaped, report
