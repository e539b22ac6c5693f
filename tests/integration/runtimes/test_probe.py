"""The probe tells what was reached and what is missing; the floor refuses in words that help."""

import os
import sys

import msgspec
import psutil
import pytest

from runwright.runtimes.host import Host, Isolation, MissingFeature
from runwright.runtimes.interpreters import (
    InterpreterNotFoundError,
    InterpreterPaths,
    find_deno,
    find_node,
    find_python,
    find_shell,
)
from runwright.runtimes.probe import floor_refusal, probe_host


def test_the_probe_reports_a_level_and_all_five_runtimes(host: Host) -> None:
    assert set(host.runtimes) == {"python", "nodejs", "shell", "deno", "wasm"}
    for name in host.runtimes:
        info = host.runtimes[name]
        assert info.ready, info
        assert info.version
        assert info.path
    assert "rlimits" in host.reached
    assert (host.isolation is Isolation.STRICT) == (not host.missing)


@pytest.mark.parametrize("level", list(Isolation))
def test_the_floor_lets_pass_what_is_high_enough(host: Host, level: Isolation) -> None:
    there = msgspec.structs.replace(host, isolation=level)
    refused = {floor.wire_name for floor in Isolation if floor_refusal(floor.wire_name, there) is not None}
    assert refused == {floor.wire_name for floor in Isolation if floor > level}


def test_a_refusal_says_what_is_missing_and_how_to_get_it(host: Host) -> None:
    poor = msgspec.structs.replace(
        host,
        isolation=Isolation.PROCESS,
        missing=(MissingFeature("bubblewrap", "no bwrap was found", "Install it."),),
    )
    text = floor_refusal("standard", poor)
    assert text is not None
    for words in (
        "'process'",
        "'standard'",
        "bubblewrap",
        "no bwrap was found",
        "Install it.",
        "RUNWRIGHT_ISOLATION",
    ):
        assert words in text


def test_interpreters_that_were_chosen_are_used_and_wrong_ones_are_refused() -> None:
    python = find_python(InterpreterPaths(python=sys.executable), readable=False)
    assert python.path == os.path.realpath(sys.executable)
    assert find_shell(InterpreterPaths(shell="/bin/sh", python=sys.executable), readable=False).arguments == (
        "/bin/sh",
    )
    with pytest.raises(InterpreterNotFoundError, match="/bin/true"):
        find_python(InterpreterPaths(python="/bin/true"), readable=False)
    with pytest.raises(InterpreterNotFoundError, match="/absent"):
        find_node(InterpreterPaths(node="/absent"), readable=False)
    with pytest.raises(InterpreterNotFoundError, match="/absent"):
        find_shell(InterpreterPaths(shell="/absent"), readable=False)
    with pytest.raises(InterpreterNotFoundError, match="/bin/true"):
        find_deno(InterpreterPaths(deno="/bin/true"), readable=False)


def test_the_python_of_workers_is_3_12_or_a_later_one_where_the_server_itself_has_that() -> None:
    version = tuple(map(int, find_python(InterpreterPaths(), readable=False).version.split(".")[:2]))
    assert version >= min(sys.version_info[:2], (3, 12))


def test_a_chosen_interpreter_that_does_not_work_is_named_in_the_report() -> None:
    host = probe_host(InterpreterPaths(node="/bin/true"))
    assert not host.runtimes["nodejs"].ready
    assert "nodejs" not in host.interpreters
    assert host.runtimes["python"].ready


def test_the_probe_leaves_no_process_behind() -> None:
    before = set(psutil.Process().children(recursive=True))
    probe_host()
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_host_that_can_make_no_network_namespace_says_so_and_has_no_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runwright.egress.namespace_pool._PROGRAM", "/absent.py")
    host = probe_host()
    assert not host.network
    assert "outgoing network" in [missing.what for missing in host.missing]
    assert host.runtimes["python"].ready
