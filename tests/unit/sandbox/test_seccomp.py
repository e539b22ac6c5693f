"""The filter's decisions, made by an interpreter of the few BPF instructions that it uses."""

import struct

import pytest

from runwright.sandbox.seccomp import filter_program

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 38, 93, 97
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMNS = {"x86_64": 0, "aarch64": 1}
MACHINES = pytest.mark.parametrize("machine", list(ARCHITECTURES))
ALLOWED = {
    "read": (0, 63),
    "clone": (56, 220),
    "socket": (41, 198),
    "ioctl": (16, 29),
    "execve": (59, 221),
    "openat": (257, 56),
    "prctl": (157, 167),
    "seccomp": (317, 277),
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
"""Calls that no sandbox may make, as the kernel's headers number them. Not read from the filter: a call
that is taken off its deny list must fail here."""
ABSENT = {"clone3": (435, 435), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190)}
"""Calls that must look like they do not exist."""
ARGUMENT_DEPENDENT = {"clone", "socket", "ioctl"}
LAST_NUMBER = 600
"""Above every number that either architecture has given out."""


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Return what the kernel would do with a system call."""
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


def verdict(machine: str, number: int, *arguments: int) -> int:
    program = filter_program(machine)
    assert program is not None
    return decide(program, ARCHITECTURES[machine], number, *arguments)


@MACHINES
@pytest.mark.parametrize("call", sorted(DANGEROUS))
def test_a_dangerous_call_is_denied(machine: str, call: str) -> None:
    number = DANGEROUS[call][COLUMNS[machine]]
    if number is not None:
        assert verdict(machine, number) == ERRNO | EPERM
        assert verdict(machine, number, *[2**64 - 1] * 6) == ERRNO | EPERM


@MACHINES
def test_no_other_call_is_denied(machine: str) -> None:
    column = COLUMNS[machine]
    expected = {call[column]: ERRNO | EPERM for call in DANGEROUS.values() if call[column] is not None}
    expected |= {call[column]: ERRNO | ENOSYS for call in ABSENT.values()}
    by_arguments = {ALLOWED[name][column] for name in ARGUMENT_DEPENDENT}
    for number in set(range(LAST_NUMBER)) - by_arguments:
        assert verdict(machine, number) == expected.get(number, ALLOW), number


@MACHINES
def test_what_a_call_with_arguments_may_do(machine: str) -> None:
    def call(name: str, *arguments: int) -> int:
        return verdict(machine, ALLOWED[name][COLUMNS[machine]], *arguments)

    assert {call(name) for name in ALLOWED.keys() - ARGUMENT_DEPENDENT} == {ALLOW}
    assert call("clone", 17) == ALLOW
    assert call("clone", 0x10000000 | 17) == ERRNO | EPERM
    assert [call("socket", family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
    assert [call("socket", family) for family in (0, 17, 38, 40)] == [ERRNO | EAFNOSUPPORT] * 4
    assert [call("socket", 2, 1 | 0o2000000, protocol) for protocol in (0, 6, 17)] == [ALLOW] * 3
    assert [call("socket", 10, 1, protocol) for protocol in (132, 33, 262)] == [ERRNO | EPROTONOSUPPORT] * 3
    assert call("socket", 2, 3, 1) == call("socket", 10, 3 | 0o4000, 58) == ERRNO | EPERM
    assert call("socket", 16, 3, 0) == call("socket", 1, 1, 0) == ALLOW
    assert [call("socket", 16, 3, protocol) for protocol in (6, 9, 12, 16)] == [ERRNO | EPROTONOSUPPORT] * 4
    assert call("ioctl", 0, 0x5401) == ALLOW
    assert call("ioctl", 0, 0x5412) == call("ioctl", 0, 0x541C) == ERRNO | EPERM


@MACHINES
@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_kind_of_namespace_can_be_made_by_clone(machine: str, flag: int) -> None:
    assert verdict(machine, ALLOWED["clone"][COLUMNS[machine]], flag | 17) == ERRNO | EPERM


def test_calls_of_another_architecture_kill() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert decide(program, 0x40000003, 0) == KILL
    assert decide(program, ARCHITECTURES["x86_64"], 0x40000000 | 165) == ERRNO | ENOSYS


def test_a_machine_whose_call_numbers_are_not_known_has_no_filter() -> None:
    assert filter_program("riscv64") is None
