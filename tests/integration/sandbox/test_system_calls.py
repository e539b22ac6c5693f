"""Every system call number, tried in a real sandbox: what the table lists gets through, nothing else does."""

import errno
import os

import msgspec
import pytest

from runwright.runtimes.host import Host
from runwright.sandbox.syscalls import ALLOWED, CHECKED, REFUSED, WITHOUT_EFFECT, SyscallNumbers
from tests.integration.conftest import MakeStage, Stage

LAST = 1100
SOURCE = """
import ctypes, os, signal
library = ctypes.CDLL(None, use_errno=True)
library.syscall.restype = ctypes.c_long

def result_of(number, arguments):
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        result = library.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
        os._exit(ctypes.get_errno() if result == -1 else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def handler(input, env):
    return [result_of(number, input["arguments"]) for number in input["numbers"]]
"""
UNPREDICTABLE = {"pause", "vfork", "rt_sigreturn", "exit", "exit_group", "restart_syscall"}
"""Calls that end or block their process, or cannot be made from Python: only the table's decision is tested."""


@pytest.fixture
def filtered(host: Host) -> Host:
    """Skip where sandboxes have no filter."""
    if not host.seccomp:
        pytest.skip(f"this host has no filter: {host.missing}")
    return host


def numbers_of(*tables: dict[str, SyscallNumbers], without: frozenset[str] = frozenset()) -> set[int]:
    machine = os.uname().machine
    rows = {name: one.on(machine) for table in tables for name, one in table.items()}
    return {number for name, number in rows.items() if number is not None and name not in without}


async def results(stage: Stage, numbers: list[int]) -> dict[int, int]:
    """Make the calls with every argument -1; return their error numbers, or minus the fatal signal."""
    body = msgspec.json.encode({"numbers": numbers, "arguments": [-1] * 6})
    played = await stage.run(SOURCE, input=body, seconds=120.0)
    found = played.output
    assert isinstance(found, list)
    return dict(zip(numbers, found, strict=True))


@pytest.mark.timeout(180)
async def test_every_number_that_is_not_listed_fails(filtered: Host, make_stage: MakeStage) -> None:
    listed = numbers_of(ALLOWED, CHECKED, WITHOUT_EFFECT)
    numbers = [number for number in range(LAST) if number not in listed]
    refused = numbers_of(REFUSED)
    expected = {number: errno.EPERM if number in refused else errno.ENOSYS for number in numbers}
    assert await results(await make_stage(filtered), numbers) == expected


@pytest.mark.timeout(180)
async def test_every_listed_call_ends_as_without_a_filter(filtered: Host, make_stage: MakeStage) -> None:
    numbers = sorted(numbers_of(ALLOWED, without=frozenset(UNPREDICTABLE)))
    unfiltered = msgspec.structs.replace(filtered, seccomp=False)
    with_filter = await results(await make_stage(filtered), numbers)
    assert with_filter == await results(await make_stage(unfiltered), numbers)
    assert len(numbers) > 200


async def test_a_call_without_effect_succeeds(filtered: Host, make_stage: MakeStage) -> None:
    numbers = sorted(numbers_of(WITHOUT_EFFECT))
    assert await results(await make_stage(filtered), numbers) == dict.fromkeys(numbers, 0)
