"""Known attempts to escape, made as root of a user namespace; apart from the others, so that both run at once."""

import msgspec
import pytest

from runwright.escape_test.canaries import plant_canaries
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import EscapeVerdict
from runwright.escape_test.runner import run_attempts
from runwright.runtimes.host import Host

ATTEMPTS = find_attempts()


@pytest.mark.timeout(900)
async def test_no_attempt_escapes_as_root_of_a_user_namespace(host: Host) -> None:
    if host.bwrap is None:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    wrapped = msgspec.structs.replace(host, user_namespace=True, first_uid=0)
    attempts = [one for one in ATTEMPTS if one.group in {"kernel", "namespaces", "privileges", "processes"}]
    with plant_canaries() as canaries:
        results = await run_attempts(wrapped, canaries, attempts, lambda _: None)
    assert not [
        (one.name, one.verdict, one.by) for one in results if one.verdict is not EscapeVerdict.STOPPED
    ]
