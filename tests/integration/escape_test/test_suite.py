"""The known ways out of a sandbox, tried in real ones: none leads out, at either level."""

import json
from collections import Counter

import msgspec
import pytest
from typer.testing import CliRunner

from runwright.cli.escape import FEWEST, at_level, make_report
from runwright.cli.main import build_app
from runwright.core.job_state import ErrorCode
from runwright.escape_test.canaries import lay_baits
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import Result, Verdict
from runwright.escape_test.runner import run_attempts
from runwright.runtimes.host import Host, Isolation

ATTEMPTS = find_attempts()


def test_there_are_more_than_enough_attempts_and_each_has_a_name_of_its_own_and_says_what_it_tries() -> None:
    assert len(ATTEMPTS) >= 2 * FEWEST
    assert max(Counter(one.name for one in ATTEMPTS).values()) == 1
    assert all(one.tries.endswith(".") for one in ATTEMPTS)
    assert {code for one in ATTEMPTS for code in one.ends} <= {str(code) for code in ErrorCode}


@pytest.mark.timeout(240)
async def test_no_known_attempt_gets_out_at_the_level_standard(host: Host) -> None:
    """At the level that the host offers it is the command that tries, below."""
    if host.isolation <= Isolation.STANDARD:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    weakened = at_level(host, "standard")
    visible = [mount for one in host.interpreters.values() for mount in one.mounts]
    with lay_baits(visible=visible) as baits:
        results = await run_attempts(weakened, baits, ATTEMPTS, lambda _: None)
    assert len(results) == len(ATTEMPTS)
    assert not [(one.name, one.verdict, one.by) for one in results if one.verdict is not Verdict.STOPPED]


async def test_root_in_a_user_namespace_of_its_own_may_do_nothing_either(host: Host) -> None:
    if host.bwrap is None:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    wrapped = msgspec.structs.replace(host, user_namespace=True, first_uid=0)
    attempts = [one for one in ATTEMPTS if one.group in {"kernel", "namespaces", "privileges", "processes"}]
    with lay_baits() as baits:
        results = await run_attempts(wrapped, baits, attempts, lambda _: None)
    assert not [(one.name, one.verdict, one.by) for one in results if one.verdict is not Verdict.STOPPED]


def test_the_level_standard_has_neither_filter_nor_control_groups(host: Host) -> None:
    if host.isolation < Isolation.STRICT:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    weakened = at_level(host, "standard")
    assert (weakened.isolation, weakened.seccomp, weakened.cgroup_version) == (Isolation.STANDARD, False, 0)
    assert at_level(host, None) is host


EXPOSED = {
    "file-of-the-host",
    "writing-to-the-host",
    "port-of-the-server",
    "abstract-socket",
    "command-lines",
}


async def test_a_sandbox_that_is_none_is_told_from_one_that_holds(bare: Host) -> None:
    attempts = [one for one in ATTEMPTS if one.name in EXPOSED]
    with lay_baits() as baits:
        results = await run_attempts(bare, baits, attempts, lambda _: None)
    assert {one.name for one in results if one.verdict is Verdict.ESCAPED} == EXPOSED


RESULT = Result(name="x", group="g", tries="t", verdict=Verdict.STOPPED, by="b", milliseconds=1)


@pytest.mark.parametrize("verdict", [Verdict.ESCAPED, Verdict.BROKEN])
def test_one_attempt_that_got_out_or_is_broken_fails_the_whole(host: Host, verdict: Verdict) -> None:
    other = Result(name="y", group="g", tries="t", verdict=verdict, by="b", milliseconds=1)
    assert make_report(host, [RESULT] * FEWEST, 1).passed
    assert not make_report(host, [*[RESULT] * FEWEST, other], 1).passed
    assert not make_report(host, [RESULT] * (FEWEST - 1), 1).passed


@pytest.mark.timeout(240)
def test_the_command_prints_what_was_tried_and_what_stopped_it() -> None:
    arguments = ["doctor", "--escape-test", "--json"]
    result = CliRunner().invoke(build_app(arguments), arguments)
    if "has no sandboxes of level" in str(result.exception):
        pytest.skip(str(result.exception))
    report = json.loads(result.stdout)
    got_out = [
        (one["name"], one["verdict"], one["by"]) for one in report["attempts"] if one["verdict"] != "stopped"
    ]
    assert (result.exit_code, report["passed"], got_out) == (0, True, [])
    assert report["counts"]["stopped"] == len(report["attempts"]) == len(ATTEMPTS)
    assert all(one["tries"] and one["by"] for one in report["attempts"])
