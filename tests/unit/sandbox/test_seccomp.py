"""The filter's decisions, made by an interpreter of the few BPF instructions that it uses."""

import re
import struct
from functools import cache
from pathlib import Path

import pytest

from runwright.sandbox.bpf import EQUAL, Assembler
from runwright.sandbox.seccomp import filter_program
from runwright.sandbox.syscalls import ALLOWED, CHECKED, REFUSED, WITHOUT_EFFECT, SyscallNumbers

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, EINVAL, ENOSYS, ENOPROTOOPT, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 22, 38, 92, 93, 97
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMNS = {"x86_64": 0, "aarch64": 1}
MACHINES = pytest.mark.parametrize("machine", list(ARCHITECTURES))
NEEDED = {
    "read": (0, 63),
    "execve": (59, 221),
    "openat": (257, 56),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "futex": (202, 98),
    "mmap": (9, 222),
    "epoll_pwait": (281, 22),
}
BY_ARGUMENTS = {
    "clone": (56, 220),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "setsockopt": (54, 208),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "personality": (135, 92),
}
DANGEROUS: dict[str, tuple[int, int | None]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "open_tree_attr": (467, 467),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "unshare": (272, 97),
    "setns": (308, 268),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "syslog": (103, 116),
    "reboot": (169, 142),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "memfd_secret": (447, 447),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "get_mempolicy": (239, 236),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
}
"""Calls that no sandbox may make, as the kernel's headers number them; not read from the filter's table."""
ABSENT: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "io_pgetevents": (333, 292),
    "vmsplice": (278, 75),
    "remap_file_pages": (216, 234),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "file_setattr": (469, 469),
    "the next one": (471, 471),
}
"""Calls that must look like they do not exist."""
NUMBERS = (*range(1100), *(2**bit - 1 for bit in range(11, 30)), *(2**bit for bit in range(11, 30)))
"""Every number that either architecture has given out, many more, and some of every size."""
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@cache
def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    return [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]


@cache
def program_of(machine: str) -> bytes:
    program = filter_program(machine)
    assert program is not None
    return program


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Return what the kernel would do with a system call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    code = instructions(program)
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
        elif operation == 0x05:
            at += value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += yes if holds[operation] else no


def verdict(machine: str, number: int, *arguments: int) -> int:
    return decide(program_of(machine), ARCHITECTURES[machine], number, *arguments)


@MACHINES
@pytest.mark.parametrize("call", sorted(DANGEROUS))
def test_a_dangerous_call_is_denied(machine: str, call: str) -> None:
    number = DANGEROUS[call][COLUMNS[machine]]
    if number is not None:
        assert verdict(machine, number) == ERRNO | EPERM
        assert verdict(machine, number, *[2**64 - 1] * 6) == ERRNO | EPERM


@MACHINES
@pytest.mark.parametrize("call", sorted(ABSENT))
def test_a_call_that_is_not_listed_does_not_exist(machine: str, call: str) -> None:
    number = ABSENT[call][COLUMNS[machine]]
    assert number is not None
    assert verdict(machine, number) == verdict(machine, number, *[2**64 - 1] * 6) == ERRNO | ENOSYS


@MACHINES
def test_every_number_is_decided_as_the_table_has_it(machine: str) -> None:
    expected = numbers_of(ALLOWED, machine, ALLOW) | numbers_of(REFUSED, machine, ERRNO | EPERM)
    expected |= numbers_of(WITHOUT_EFFECT, machine, ERRNO)
    by_arguments = {one[COLUMNS[machine]] for one in BY_ARGUMENTS.values()}
    assert by_arguments == set(numbers_of(CHECKED, machine, 0))
    for number in set(NUMBERS) - by_arguments:
        assert verdict(machine, number) == expected.get(number, ERRNO | ENOSYS), number


def numbers_of(table: dict[str, SyscallNumbers], machine: str, result: int) -> dict[int, int]:
    found = {numbers.on(machine) for numbers in table.values()}
    return {number: result for number in found if number is not None}


@MACHINES
def test_no_number_is_in_two_tables(machine: str) -> None:
    rows = [
        numbers.on(machine)
        for table in (ALLOWED, REFUSED, WITHOUT_EFFECT, CHECKED)
        for numbers in table.values()
    ]
    given = [number for number in rows if number is not None]
    assert len(given) == len(set(given)) > 280


@MACHINES
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    path = HEADERS[machine]
    if not path.exists():
        pytest.skip("this machine has no kernel headers")
    defined = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
    headers = {name: int(number) for name, number in defined}
    ours = {
        name: numbers.on(machine)
        for table in (ALLOWED, REFUSED, WITHOUT_EFFECT, CHECKED)
        for name, numbers in table.items()
    }
    assert {
        name: number for name, number in ours.items() if name in headers and number != headers[name]
    } == {}
    assert len(ours.keys() & headers.keys()) > 250


@MACHINES
def test_what_the_runtimes_need_is_allowed(machine: str) -> None:
    assert {verdict(machine, one[COLUMNS[machine]]) for one in NEEDED.values()} == {ALLOW}


@MACHINES
def test_what_a_call_with_arguments_may_do(machine: str) -> None:
    def call(name: str, *arguments: int) -> int:
        return verdict(machine, BY_ARGUMENTS[name][COLUMNS[machine]], *arguments)

    assert call("clone", 17) == ALLOW
    assert call("clone", 0x10000000 | 17) == ERRNO | EPERM
    assert [call("socket", family) for family in (1, 2, 10)] == [ALLOW] * 3
    assert [call("socket", family) for family in (0, 16, 17, 38, 40)] == [ERRNO | EAFNOSUPPORT] * 5
    assert [call("socket", 2, 1 | 0o2000000, protocol) for protocol in (0, 6, 17)] == [ALLOW] * 3
    assert [call("socket", 10, 1, protocol) for protocol in (132, 33, 262)] == [ERRNO | EPROTONOSUPPORT] * 3
    assert call("socket", 2, 3, 1) == call("socket", 10, 3 | 0o4000, 58) == ERRNO | EPERM
    assert call("socketpair", 1, 1, 0) == ALLOW
    assert [call("socketpair", family) for family in (2, 16, 30)] == [ERRNO | EAFNOSUPPORT] * 3
    assert [call("fcntl", 3, command) for command in (1, 2, 6, 7, 1031, 1033)] == [ALLOW] * 6
    assert [call("fcntl", 3, command) for command in (36, 37, 38)] == [ERRNO | EINVAL] * 3
    assert call("ioctl", 0, 0x5401) == ALLOW
    assert call("ioctl", 0, 0x5412) == call("ioctl", 0, 0x541C) == ERRNO | EPERM
    assert call("personality", 0) == call("personality", 0xFFFFFFFF) == ALLOW
    assert [call("personality", one) for one in (8, 0x20000, 0x40000, 0x400000)] == [ERRNO | EPERM] * 4


@MACHINES
def test_which_options_a_socket_takes(machine: str) -> None:
    def option(level: int, name: int) -> int:
        return verdict(machine, BY_ARGUMENTS["setsockopt"][COLUMNS[machine]], 5, level, name)

    reuse_address, keep_alive, no_delay, only_v6 = (1, 2), (1, 9), (6, 1), (41, 26)
    assert {option(*one) for one in (reuse_address, keep_alive, no_delay, only_v6)} == {ALLOW}
    assert option(1, 7) == option(1, 8) == ERRNO, "the sizes of the buffers are accepted and ignored"
    filters, multicast, tls, forced = (
        ((1, 26), (1, 50), (1, 51)),
        ((0, 35), (0, 41), (41, 20)),
        (6, 31),
        (1, 33),
    )
    assert {option(*one) for one in (*filters, *multicast, tls, forced)} == {ERRNO | ENOPROTOOPT}
    assert {option(level, 1) for level in (132, 255, 263, 270, 282)} == {ERRNO | ENOPROTOOPT}


@MACHINES
@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_kind_of_namespace_can_be_made_by_clone(machine: str, flag: int) -> None:
    assert verdict(machine, BY_ARGUMENTS["clone"][COLUMNS[machine]], flag | 17) == ERRNO | EPERM


def test_calls_of_another_architecture_kill() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert decide(program, 0x40000003, 0) == KILL
    assert decide(program, ARCHITECTURES["x86_64"], 0x40000000 | 165) == ERRNO | ENOSYS


def test_a_machine_whose_call_numbers_are_not_known_has_no_filter() -> None:
    assert filter_program("riscv64") is None


def test_a_jump_reaches_a_label_that_is_far_away() -> None:
    program = Assembler()
    program.load(0)
    program.jump(EQUAL, 7, yes="seven")
    for _ in range(300):
        program.load(0)
    program.end(1)
    program.label("seven")
    program.end(2)
    code = program.assemble()
    assert [decide(code, 0, number) for number in (6, 7, 8)] == [1, 2, 1]


def test_a_jump_to_nowhere_or_backwards_is_refused() -> None:
    nowhere, backwards, doubled = Assembler(), Assembler(), Assembler()
    nowhere.jump(EQUAL, 7, yes="missing")
    backwards.label("before")
    backwards.jump(EQUAL, 7, yes="before")
    doubled.label("one")
    doubled.label("one")
    for program, message in ((nowhere, "no label"), (backwards, "behind"), (doubled, "twice")):
        with pytest.raises(ValueError, match=message):
            program.assemble()
