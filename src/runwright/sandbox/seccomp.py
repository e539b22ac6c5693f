"""The seccomp filter of sandboxes: a deny list, which allows every system call that is not listed.

It denies calls that no worker needs and that have been the entry point of kernel vulnerabilities. What
keeps a sandbox isolated are its namespaces, its uid and its missing capabilities; the filter reduces
the kernel code that user code can reach. bubblewrap loads it just before the harness starts.

Denied calls fail with EPERM, so that programs that only try them continue. `clone3` fails with ENOSYS,
because a filter cannot read its flags: the C library then uses `clone`, whose namespace flags are
denied. The calls for System V objects fail with ENOSYS too.
"""

import os
import struct
from typing import Final

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_BIT: Final = 0x40000000

DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # File systems
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
    # Namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # Other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # The kernel
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
    # Clocks
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    # Memory policy
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # x86 only
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
"""Calls that fail with EPERM: their numbers on x86_64 and aarch64, None where there is no such call."""
ABSENT: Final[dict[str, tuple[int, int]]] = {
    "clone3": (435, 435),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
}
"""Calls that fail with ENOSYS. System V objects outlive their processes and are accounted to none of them;
programs are prepared for kernels without these calls."""
_CLONE: Final = (56, 220)
_IOCTL: Final = (16, 29)
_SOCKET: Final = (41, 198)
_NAMESPACE_FLAGS: Final = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
_TERMINAL_REQUESTS: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX insert characters into a terminal's input."""
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
"""The allowed address families; all are confined to the network namespace."""
_TYPE_BITS: Final = 0xF
_RAW: Final = 3
_TCP, _UDP = 6, 17

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45
_JUMP_GREATER_EQUAL: Final = 0x35
_RETURN: Final = 0x06
_AND: Final = 0x54
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_EPERM: Final = 1
_ENOSYS: Final = 38
_EPROTONOSUPPORT: Final = 93
_EAFNOSUPPORT: Final = 97
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_2 = 0, 4, 16, 24, 32
_Instruction = tuple[int, int, int, int]


def filter_program(machine: str = "") -> bytes | None:
    """Return the filter as a BPF program; None for a machine whose call numbers are not known."""
    found = _ARCHITECTURES.get(machine or os.uname().machine)
    if found is None:
        return None
    architecture, column = found
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        program += [(_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    for absent in ABSENT.values():
        program += _deny_number(absent[column], _ENOSYS)
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            program += _deny_number(number, _EPERM)
    program += _deny_clone_flags(_CLONE[column])
    program += _deny_terminal_input(_IOCTL[column])
    program += _allow_sockets(_SOCKET[column])
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _deny_number(number: int, errno: int) -> list[_Instruction]:
    return [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno)]


def _deny_clone_flags(number: int) -> list[_Instruction]:
    return [
        (_JUMP_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENT_0),
        (_JUMP_SET, 0, 1, _NAMESPACE_FLAGS),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _deny_terminal_input(number: int) -> list[_Instruction]:
    checks: list[_Instruction] = []
    for request in _TERMINAL_REQUESTS:
        checks += _deny_number(request, _EPERM)
    body = [(_LOAD, 0, 0, _ARGUMENT_1), *checks, (_RETURN, 0, 0, _ALLOW)]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _allow_sockets(number: int) -> list[_Instruction]:
    """Allow Unix sockets, TCP and UDP over both IP families, and NETLINK_ROUTE, which lists interfaces.

    Other protocols (SCTP, DCCP, ...) would make the kernel load modules that no worker needs.
    """
    body = [
        (_LOAD, 0, 0, _ARGUMENT_0),
        (_JUMP_EQUAL, 14, 0, _NETLINK),
        (_JUMP_EQUAL, 11, 0, _UNIX),
        (_JUMP_EQUAL, 2, 0, _INET),
        (_JUMP_EQUAL, 1, 0, _INET6),
        (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
        (_LOAD, 0, 0, _ARGUMENT_1),
        (_AND, 0, 0, _TYPE_BITS),
        (_JUMP_EQUAL, 6, 0, _RAW),
        (_LOAD, 0, 0, _ARGUMENT_2),
        (_JUMP_EQUAL, 3, 0, 0),
        (_JUMP_EQUAL, 2, 0, _TCP),
        (_JUMP_EQUAL, 1, 0, _UDP),
        (_RETURN, 0, 0, _ERRNO | _EPROTONOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_LOAD, 0, 0, _ARGUMENT_2),  # netlink starts here
        (_JUMP_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | _EPROTONOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]
