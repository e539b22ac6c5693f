"""Known attempts to escape, made at the level standard; apart from the others, so that both run at once."""

import pytest

from runwright.cli.escape import at_level
from runwright.escape_test.canaries import plant_canaries
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import EscapeVerdict
from runwright.escape_test.runner import meaningful_attempts, run_attempts
from runwright.runtimes.host import Host, Isolation

ATTEMPTS = find_attempts()


@pytest.mark.timeout(900)
async def test_no_attempt_escapes_at_the_level_standard(host: Host) -> None:
    """The command tests the level that the host reaches, in test_suite.py."""
    if host.isolation <= Isolation.STANDARD:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    weakened = at_level(host, "standard")
    visible = [mount for one in host.interpreters.values() for mount in one.mounts]
    with plant_canaries(visible=visible) as canaries:
        results = await run_attempts(weakened, canaries, ATTEMPTS, lambda _: None)
    assert [one.name for one in results] == [one.name for one in meaningful_attempts(weakened, ATTEMPTS)]
    assert len(ATTEMPTS) - len(results) <= 1, "nearly all attempts are meaningful without a filter"
    assert not [
        (one.name, one.verdict, one.by) for one in results if one.verdict is not EscapeVerdict.STOPPED
    ]
