"""The seccomp filter of sandboxes: an allow list, without which a system call does not exist.

What keeps a sandbox isolated are its namespaces, its uid and its missing capabilities; the filter reduces
the kernel code that user code can reach to what the runtimes need (`runwright.sandbox.syscalls` has the
table). bubblewrap loads it just before the harness starts.

Calls of another architecture end the process; those of the x32 ABI have numbers of their own, so they do
not exist. Seven calls are decided by their arguments:

- `clone` makes no namespaces.
- `fcntl` takes no locks of open file descriptions, as before Linux 3.15: they belong to no process, and
  locks are only counted by process.
- `ioctl` inserts no characters into a terminal's input.
- `personality` is read, or set to the default: the other ones switch off the kernel's hardening.
- `socket` and `socketpair`: Unix sockets, TCP and UDP. Other protocols would make the kernel load
  modules. Netlink sockets are refused too: what they receive is not charged, 200 MB for a thousand
  sockets; the C library does without them where it looks up names.
- `setsockopt` takes the options of a list. The size of a buffer is accepted and ignored: connections that
  were not accepted yet are not charged, and inherit it. Socket filters, multicast groups and others
  that take memory without a charge are not on the list.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Final

from runwright.sandbox.bpf import ANY_BIT, EQUAL, NOT_LESS, Assembler
from runwright.sandbox.syscalls import ALLOWED, CHECKED, REFUSED, WITHOUT_EFFECT

_AUDIT_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NAMESPACE_FLAGS: Final = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
_TERMINAL_REQUESTS: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_DESCRIPTION_LOCKS: Final = (36, 37, 38)
"""F_OFD_GETLK, F_OFD_SETLK and F_OFD_SETLKW."""
_PERSONALITIES: Final = (0, 0xFFFFFFFF)
"""PER_LINUX, and the value that only reads."""
_UNIX, _INET, _INET6 = 1, 2, 10
_TYPE_BITS: Final = 0xF
_RAW: Final = 3
_TCP, _UDP = 6, 17

_SOL_SOCKET, _SOL_IP, _SOL_TCP, _SOL_UDP, _SOL_IPV6 = 1, 0, 6, 17, 41
_BUFFER_SIZES: Final = (7, 8)
"""SO_SNDBUF and SO_RCVBUF."""
_OPTIONS: Final[dict[int, tuple[int, ...]]] = {
    # REUSEADDR DONTROUTE BROADCAST KEEPALIVE OOBINLINE PRIORITY LINGER REUSEPORT PASSCRED RCVLOWAT RCVTIMEO
    # SNDTIMEO TIMESTAMP PASSSEC TIMESTAMPNS MARK TIMESTAMPING RXQ_OVFL INCOMING_CPU; the 64-bit times;
    # PASSPIDFD
    _SOL_SOCKET: (2, 5, 6, 9, 10, 12, 13, 15, 16, 18, 20, 21, 29, 34, 35, 36, 37, 40, 49, *range(63, 68), 76),
    # TOS TTL PKTINFO MTU_DISCOVER RECVERR RECVTTL RECVTOS FREEBIND BIND_ADDRESS_NO_PORT
    # MULTICAST_{IF,TTL,LOOP,ALL} UNICAST_IF LOCAL_PORT_RANGE
    _SOL_IP: (1, 2, 8, 10, 11, 12, 13, 15, 24, 32, 33, 34, 49, 50, 51),
    # NODELAY MAXSEG CORK KEEPIDLE KEEPINTVL KEEPCNT SYNCNT LINGER2 DEFER_ACCEPT WINDOW_CLAMP QUICKACK
    # CONGESTION USER_TIMEOUT NOTSENT_LOWAT FASTOPEN_CONNECT INQ
    _SOL_TCP: (*range(1, 11), 12, 13, 18, 25, 30, 36),
    _SOL_UDP: (1, 103, 104),  # CORK SEGMENT GRO
    # UNICAST_HOPS MULTICAST_{IF,HOPS,LOOP} MTU_DISCOVER MTU RECVERR V6ONLY MULTICAST_ALL RECVPKTINFO
    # RECVHOPLIMIT DONTFRAG RECVTCLASS TCLASS AUTOFLOWLABEL ADDR_PREFERENCES FREEBIND
    _SOL_IPV6: (16, 17, 18, 19, 23, 24, 25, 26, 29, 49, 51, 62, 66, 67, 70, 72, 78),
}

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_EPERM, _EINVAL, _ENOSYS, _ENOPROTOOPT, _EPROTONOSUPPORT, _EAFNOSUPPORT = 1, 22, 38, 92, 93, 97
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_2 = 0, 4, 16, 24, 32

_RESULTS: Final = {
    "allow": _ALLOW,
    "kill": _KILL,
    "without effect": _ERRNO,
    "refuse": _ERRNO | _EPERM,
    "invalid": _ERRNO | _EINVAL,
    "absent": _ERRNO | _ENOSYS,
    "no such option": _ERRNO | _ENOPROTOOPT,
    "no such protocol": _ERRNO | _EPROTONOSUPPORT,
    "no such family": _ERRNO | _EAFNOSUPPORT,
}
"""The results of the program, by the labels that return them."""


def filter_program(machine: str = "") -> bytes | None:
    """Return the filter as a BPF program; None for a machine whose call numbers are not known."""
    machine = machine or os.uname().machine
    if machine not in _AUDIT_ARCHITECTURES:
        return None
    program = Assembler()
    program.load(_ARCHITECTURE)
    program.jump(EQUAL, _AUDIT_ARCHITECTURES[machine], no="kill")
    program.load(_NUMBER)
    _decide_by_number(program, _starts(_labels(machine)))
    for label, check in _CHECKS.items():
        program.label(label)
        check(program)
    for label, result in _RESULTS.items():
        program.label(label)
        program.end(result)
    return program.assemble()


def _labels(machine: str) -> dict[int, str]:
    """Return the label that decides each number of the tables."""
    labels: dict[int, str] = {}
    tables = ((ALLOWED, "allow"), (REFUSED, "refuse"), (WITHOUT_EFFECT, "without effect"), (CHECKED, None))
    for table, label in tables:
        for name, numbers in table.items():
            number = numbers.on(machine)
            if number is not None:
                labels[number] = label or name
    return labels


def _starts(labels: Mapping[int, str]) -> list[tuple[int, str]]:
    """Return where each run of numbers with the same label starts; numbers without one are absent."""
    every = [(number, labels.get(number, "absent")) for number in range(max(labels) + 2)]
    return [every[0], *(after for before, after in pairwise(every) if before[1] != after[1])]


def _decide_by_number(program: Assembler, starts: list[tuple[int, str]]) -> None:
    """Search the accumulator's number by halving: nine tests, or so, for any call."""
    if len(starts) == 1:
        program.jump(EQUAL, 0, yes=starts[0][1], no=starts[0][1])
        return
    middle = len(starts) // 2
    upper = program.new_label()
    program.jump(NOT_LESS, starts[middle][0], yes=upper)
    _decide_by_number(program, starts[:middle])
    program.label(upper)
    _decide_by_number(program, starts[middle:])


def _go_by_value(program: Assembler, values: Iterable[int], label: str) -> None:
    for value in values:
        program.jump(EQUAL, value, yes=label)


def _check_clone(program: Assembler) -> None:
    program.load(_ARGUMENT_0)
    program.jump(ANY_BIT, _NAMESPACE_FLAGS, yes="refuse", no="allow")


def _check_fcntl(program: Assembler) -> None:
    program.load(_ARGUMENT_1)
    _go_by_value(program, _DESCRIPTION_LOCKS, "invalid")
    program.end(_ALLOW)


def _check_ioctl(program: Assembler) -> None:
    program.load(_ARGUMENT_1)
    _go_by_value(program, _TERMINAL_REQUESTS, "refuse")
    program.end(_ALLOW)


def _check_personality(program: Assembler) -> None:
    program.load(_ARGUMENT_0)
    _go_by_value(program, _PERSONALITIES, "allow")
    program.end(_ERRNO | _EPERM)


def _check_socket(program: Assembler) -> None:
    program.load(_ARGUMENT_0)
    program.jump(EQUAL, _UNIX, yes="allow")
    _go_by_value(program, (_INET, _INET6), "internet socket")
    program.end(_ERRNO | _EAFNOSUPPORT)
    program.label("internet socket")
    program.load(_ARGUMENT_1)
    program.mask(_TYPE_BITS)
    program.jump(EQUAL, _RAW, yes="refuse")
    program.load(_ARGUMENT_2)
    _go_by_value(program, (0, _TCP, _UDP), "allow")
    program.end(_ERRNO | _EPROTONOSUPPORT)


def _check_socketpair(program: Assembler) -> None:
    program.load(_ARGUMENT_0)
    program.jump(EQUAL, _UNIX, yes="allow", no="no such family")


def _check_setsockopt(program: Assembler) -> None:
    program.load(_ARGUMENT_1)
    for level in _OPTIONS:
        program.jump(EQUAL, level, yes=f"options of level {level}")
    program.end(_ERRNO | _ENOPROTOOPT)
    for level, options in _OPTIONS.items():
        program.label(f"options of level {level}")
        program.load(_ARGUMENT_2)
        if level == _SOL_SOCKET:
            _go_by_value(program, _BUFFER_SIZES, "without effect")
        _go_by_value(program, options, "allow")
        program.end(_ERRNO | _ENOPROTOOPT)


_CHECKS: Final[dict[str, Callable[[Assembler], None]]] = {
    "clone": _check_clone,
    "fcntl": _check_fcntl,
    "ioctl": _check_ioctl,
    "personality": _check_personality,
    "setsockopt": _check_setsockopt,
    "socket": _check_socket,
    "socketpair": _check_socketpair,
}
"""How the calls of `CHECKED` are decided."""
