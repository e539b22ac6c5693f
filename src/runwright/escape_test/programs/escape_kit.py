"""What the attempts share: system calls by number, and how an attempt says what stopped it.

An attempt is a function that takes the baits. It returns its evidence where it got out; what
stopped it is the OSError that it met, or a `StoppedError` that says what it found instead. Any other
exception means that the attempt itself is broken.
"""

import ctypes
import errno
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Bait = dict[str, Any]
Attempt = Callable[[Bait], str]
Thing = TypeVar("Thing")
MARK = re.compile(rb"bait-[0-9a-f]{32}")
"""What the secrets of the baits look like; the secret itself is not in this process."""

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


class StoppedError(Exception):
    """The attempt did not get out; the text says what it found."""


def attempt(**_options: Any) -> Callable[[Attempt], Attempt]:
    """Mark an attempt; its options are for the catalogue, which reads them from the source."""
    return lambda function: function


def call(name: str, *arguments: Any) -> int:
    """Make a system call; an OSError where the kernel refuses it."""
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


def find_mark(data: bytes, where: str) -> str:
    """Return the bait's secret where it is in the data."""
    found = MARK.search(data)
    if found is None:
        raise StoppedError(f"nothing of the bait in {where}")
    return f"read {found[0].decode()} from {where}"


def read_marked(path: str) -> str:
    """Read a file that holds a secret."""
    with open(path, "rb") as file:
        return find_mark(file.read(1 << 20), path)


def each(things: Iterable[Thing], work: Callable[[Thing], str]) -> str:
    """Return the evidence of the first thing with which it gets out, or stop as the last one did."""
    last: Exception = StoppedError("there was nothing to try")
    for thing in things:
        try:
            return work(thing)
        except (OSError, StoppedError) as error:
            last = error
    raise last


def first_of(*tries: Callable[[], str]) -> str:
    """The same for several ways."""
    return each(tries, lambda one: one())


def passes(accepted: tuple[int, ...], name: str, *arguments: Any) -> str:
    """Make a call that is harmless because it is wrong: it gets out if the kernel minds only that."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno not in accepted:
            raise
        return f"{name} got past every check of permission ({errno.errorcode[error.errno or 0]})"
    return f"{name} succeeded"


def in_child(work: Callable[[], str]) -> str:
    """Do the work in a process of its own, for it cannot be undone in this one."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        said = "!the child said nothing"
        try:
            said = "=" + work()
        except OSError as error:
            said = f"{error.errno or 0}:{error.strerror or error}"
        except StoppedError as stopped:
            said = f"-{stopped}"
        except BaseException as error:  # noqa: BLE001  the parent raises it
            said = f"!{error!r}"
        finally:
            os.write(writer, said.encode()[:4096])
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if not said and os.WIFSIGNALED(status):
        raise StoppedError(f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
    return told(said)


def told(said: str) -> str:
    """Return or raise what a child said."""
    if said[:1] == "=":
        return said[1:]
    if said[:1] == "-":
        raise StoppedError(said[1:])
    if said[:1] == "!" or not said:
        raise RuntimeError(said[1:] or "the child ended without a word")
    number, _, text = said.partition(":")
    raise OSError(int(number), text)


def set_limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit of this process; the module says ValueError where the kernel says EPERM."""
    try:
        resource.setrlimit(kind, (soft, hard))
    except ValueError as error:
        raise OSError(errno.EPERM, str(error)) from None


def hold(seconds: float = 1.0) -> None:
    """Keep what was taken for long enough that whoever watches sees it."""
    time.sleep(seconds)


def answer(function: Attempt, bait: Bait) -> dict[str, Any]:
    """Make the attempt and say what became of it."""
    try:
        return {"escaped": True, "by": function(bait)}
    except StoppedError as stopped:
        return {"escaped": False, "by": str(stopped)}
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an error")
        return {"escaped": False, "by": f"{name} ({error.strerror or error})"}
