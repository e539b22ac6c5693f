"""Known attempts to escape, made in real sandboxes: none succeeds, at either level."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from runwright.cli.apps import load_app
from runwright.cli.escape import MIN_ATTEMPTS, at_level, make_report
from runwright.core.job_state import ErrorCode
from runwright.escape_test.canaries import plant_canaries
from runwright.escape_test.catalogue import find_attempts
from runwright.escape_test.model import EscapeResult, EscapeVerdict
from runwright.escape_test.runner import run_attempts
from runwright.runtimes.host import Host, Isolation

ATTEMPTS = find_attempts()


def test_there_are_enough_attempts_with_unique_names_and_descriptions() -> None:
    assert len(ATTEMPTS) >= 2 * MIN_ATTEMPTS
    assert max(Counter(one.name for one in ATTEMPTS).values()) == 1
    assert all(one.tries.endswith(".") for one in ATTEMPTS)
    assert {code for one in ATTEMPTS for code in one.ends} <= {str(code) for code in ErrorCode}


def test_the_level_standard_has_neither_filter_nor_cgroups(host: Host) -> None:
    if host.isolation < Isolation.STRICT:
        pytest.skip(f"this host is only {host.isolation.wire_name}")
    weakened = at_level(host, "standard")
    assert (weakened.isolation, weakened.seccomp, weakened.cgroup_version) == (Isolation.STANDARD, False, 0)
    assert at_level(host, None) is host


EXPOSED = {
    "world-readable-file",
    "writing-to-the-host",
    "port-of-the-server",
    "abstract-socket",
    "command-lines",
}


async def test_a_missing_sandbox_is_detected(bare: Host) -> None:
    attempts = [one for one in ATTEMPTS if one.name in EXPOSED]
    with plant_canaries() as canaries:
        results = await run_attempts(bare, canaries, attempts, lambda _: None)
    assert {one.name for one in results if one.verdict is EscapeVerdict.ESCAPED} == EXPOSED


RESULT = EscapeResult(name="x", group="g", tries="t", verdict=EscapeVerdict.STOPPED, by="b", milliseconds=1)


@pytest.mark.parametrize("verdict", [EscapeVerdict.ESCAPED, EscapeVerdict.BROKEN])
def test_one_attempt_that_escaped_or_is_broken_fails_the_whole(host: Host, verdict: EscapeVerdict) -> None:
    other = EscapeResult(name="y", group="g", tries="t", verdict=verdict, by="b", milliseconds=1)
    assert make_report(host, [RESULT] * MIN_ATTEMPTS, 1).passed
    assert not make_report(host, [*[RESULT] * MIN_ATTEMPTS, other], 1).passed
    assert not make_report(host, [RESULT] * (MIN_ATTEMPTS - 1), 1).passed


@pytest.mark.timeout(900)
def test_the_command_prints_each_attempt_and_what_stopped_it() -> None:
    result = CliRunner().invoke(load_app("doctor"), ["--escape-test", "--json"])
    if "has no sandboxes of level" in str(result.exception):
        pytest.skip(str(result.exception))
    report = json.loads(result.stdout)
    failed = [
        (one["name"], one["verdict"], one["by"]) for one in report["attempts"] if one["verdict"] != "stopped"
    ]
    assert (result.exit_code, report["passed"], failed) == (0, True, [])
    assert report["counts"]["stopped"] == len(report["attempts"]) == len(ATTEMPTS)
    assert all(one["tries"] and one["by"] for one in report["attempts"])
