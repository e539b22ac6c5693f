"""The filter, run by an interpreter of BPF that knows the few instructions it uses."""

import struct

import pytest

from runwright.sandbox.seccomp import filter_program

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 38, 93, 97
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {"read": 0, "clone": 56, "mount": 165, "unshare": 272, "socket": 41, "ioctl": 16, "execve": 59},
    "aarch64": {
        "read": 63,
        "clone": 220,
        "mount": 40,
        "unshare": 97,
        "socket": 198,
        "ioctl": 29,
        "execve": 221,
    },
}


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a system call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    code: list[tuple[int, int, int, int]] = [
        struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)
    ]
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == 0x20:
            [accumulator] = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += yes if holds[operation] else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_each_call_meets_its_fate(machine: str) -> None:
    program = filter_program(machine)
    assert program is not None
    here, numbers = ARCHITECTURES[machine], NUMBERS[machine]

    def fate(name: str, *arguments: int) -> int:
        return decide(program, here, numbers[name], *arguments)

    assert fate("read") == fate("execve") == ALLOW
    assert fate("mount") == fate("unshare") == ERRNO | EPERM
    assert fate("clone", 17) == ALLOW
    assert fate("clone", 0x10000000 | 17) == ERRNO | EPERM
    assert decide(program, here, 435) == ERRNO | ENOSYS
    assert [fate("socket", family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
    assert [fate("socket", family) for family in (0, 17, 38, 40)] == [ERRNO | EAFNOSUPPORT] * 4
    assert [fate("socket", 2, 1 | 0o2000000, protocol) for protocol in (0, 6, 17)] == [ALLOW] * 3
    assert [fate("socket", 10, 1, protocol) for protocol in (132, 33, 262)] == [ERRNO | EPROTONOSUPPORT] * 3
    assert fate("socket", 2, 3, 1) == fate("socket", 10, 3 | 0o4000, 58) == ERRNO | EPERM
    assert fate("socket", 16, 3, 0) == fate("socket", 1, 1, 0) == ALLOW
    assert [fate("socket", 16, 3, protocol) for protocol in (6, 9, 12, 16)] == [ERRNO | EPROTONOSUPPORT] * 4
    assert fate("ioctl", 0, 0x5401) == ALLOW
    assert fate("ioctl", 0, 0x5412) == fate("ioctl", 0, 0x541C) == ERRNO | EPERM


def test_calls_of_another_architecture_kill() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert decide(program, 0x40000003, 0) == KILL
    assert decide(program, ARCHITECTURES["x86_64"], 0x40000000 | 165) == ERRNO | ENOSYS


def test_a_machine_whose_numbers_are_not_known_has_no_filter() -> None:
    assert filter_program("riscv64") is None
