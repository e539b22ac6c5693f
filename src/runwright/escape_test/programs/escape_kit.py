"""Helpers of the escape programs: system calls by number, and how an attempt reports its result.

An attempt is a function that takes the targets. It returns its evidence where it escaped; otherwise it
raises the OSError that stopped it, or a `StoppedError` with what it found instead. Any other exception
means that the attempt itself is broken.
"""

import contextlib
import ctypes
import errno
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Targets = dict[str, Any]
Attempt = Callable[[Targets], str]
Candidate = TypeVar("Candidate")
CANARY = re.compile(rb"canary-[0-9a-f]{32}")
"""What the secret of a canary looks like; the secret itself is not in this process."""

NEW_MOUNTS, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
AT_CWD = -100
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone3": (435, 435),
    "exit_group": (231, 94),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_setup": (425, 425),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "mq_timedreceive": (243, 183),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
library = ctypes.CDLL(None, use_errno=True)
library.syscall.restype = ctypes.c_long
library.shmat.restype = ctypes.c_void_p


class StoppedError(Exception):
    """The attempt did not escape; the message is what it found."""


def attempt(**_options: Any) -> Callable[[Attempt], Attempt]:
    """Mark a function as an attempt; the catalogue reads the options from the source."""
    return lambda function: function


def call(name: str, *arguments: Any) -> int:
    """Make a system call; OSError where the kernel denies it."""
    column = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
    number = None if column is None else NUMBERS[name][column]
    if number is None:
        raise StoppedError(f"this machine has no {name}")
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = library.syscall(ctypes.c_long(number), *words)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def check(result: int) -> int:
    """Return a result that is not a negative error number; OSError for one that is."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def prctl(*arguments: int) -> None:
    """Call prctl; OSError where the kernel denies it."""
    if library.prctl(*arguments, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@contextlib.contextmanager
def attached(segment: int, flags: int = 0) -> Iterator[int]:
    """Attach a shared memory segment and yield its address."""
    address = library.shmat(segment, None, flags)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    try:
        yield address
    finally:
        library.shmdt(ctypes.c_void_p(address))


def find_canary(data: bytes, where: str) -> str:
    """Return the canary found in the data; StoppedError where there is none."""
    found = CANARY.search(data)
    if found is None:
        raise StoppedError(f"no canary in {where}")
    return f"read {found[0].decode()} from {where}"


def read_canary(path: str) -> str:
    """Return the canary in a file."""
    with open(path, "rb") as file:
        return find_canary(file.read(1 << 20), path)


def any_of(candidates: Iterable[Candidate], work: Callable[[Candidate], str]) -> str:
    """Return the evidence of the first candidate that escapes, or raise what stopped the last one."""
    last: Exception = StoppedError("there was no candidate")
    for candidate in candidates:
        try:
            return work(candidate)
        except (OSError, StoppedError) as error:
            last = error
    raise last


def first_of(*tries: Callable[[], str]) -> str:
    """Return the evidence of the first function that escapes, or raise what stopped the last one."""
    return any_of(tries, lambda one: one())


def reaches_kernel(accepted: tuple[int, ...], name: str, *arguments: Any) -> str:
    """Make a call with invalid arguments: it escapes if the kernel objects to nothing but those."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno not in accepted:
            raise
        return f"{name} passed every permission check ({errno.errorcode[error.errno or 0]})"
    return f"{name} succeeded"


def in_child(work: Callable[[], str]) -> str:
    """Do the work in a child process, because it cannot be undone in this one."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        report = "!the child did not report"
        try:
            report = "=" + work()
        except OSError as error:
            report = f"{error.errno or 0}:{error.strerror or error}"
        except StoppedError as stopped:
            report = f"-{stopped}"
        except BaseException as error:  # noqa: BLE001  the parent raises it
            report = f"!{error!r}"
        finally:
            os.write(writer, report.encode()[:4096])
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        report = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if not report and os.WIFSIGNALED(status):
        raise StoppedError(f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
    return read_report(report)


def forked(function: Attempt) -> Attempt:
    """Make the whole attempt in a child process."""
    return lambda targets: in_child(lambda: function(targets))


def read_report(report: str) -> str:
    """Return or raise what a child reported."""
    if report[:1] == "=":
        return report[1:]
    if report[:1] == "-":
        raise StoppedError(report[1:])
    if report[:1] == "!" or not report:
        raise RuntimeError(report[1:] or "the child ended without a report")
    number, _, text = report.partition(":")
    raise OSError(int(number), text)


def set_limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit of this process; the ValueError of the module is the kernel's EPERM."""
    try:
        resource.setrlimit(kind, (soft, hard))
    except ValueError as error:
        raise OSError(errno.EPERM, str(error)) from None


def hold(targets: Targets) -> None:
    """Keep what was taken until this process is killed for it, or longer than any watchdog could need."""
    time.sleep(targets["hold_seconds"])


def make_attempt(function: Attempt, targets: Targets) -> dict[str, Any]:
    """Make the attempt and return its result."""
    try:
        return {"escaped": True, "by": function(targets)}
    except StoppedError as stopped:
        return {"escaped": False, "by": str(stopped)}
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an error")
        return {"escaped": False, "by": f"{name} ({error.strerror or error})"}
