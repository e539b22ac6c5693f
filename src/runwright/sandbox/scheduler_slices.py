"""Scheduler slices: how long a process may run before one that has woken up may preempt it.

By default slices are some milliseconds long, and a process that wakes up waits for the end of one. A
job wakes about a dozen processes between its request and its response, so next to CPU-bound programs
it would wait a dozen times. With short slices the server and its database are scheduled as soon as they
have work; their share of the CPU stays the same. Sandboxes keep the default slices. Kernels before 6.12
ignore the setting.
"""

import ctypes
import os
import struct
from typing import Final

SHORT_NANOSECONDS: Final = 100_000
DEFAULT_NANOSECONDS: Final = 0
"""Selects the kernel's default."""
_SET: Final = {"x86_64": 314, "aarch64": 274}
_GET: Final = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES: Final = struct.Struct("IIQiIQQQII")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, clamps."""


def set_scheduler_slice(pid: int, nanoseconds: int) -> bool:
    """Set the slice of a process (0: this thread) and its future children; False where not supported."""
    number = _SET.get(os.uname().machine)
    try:
        if number is None or os.sched_getscheduler(pid) != os.SCHED_OTHER:
            return False
        nice = os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return False
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, pid, attributes, 0) == 0)


def get_scheduler_slice(pid: int) -> int:
    """Return the slice of a process in nanoseconds; 0 where the kernel does not report it."""
    number = _GET.get(os.uname().machine)
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if number is None or ctypes.CDLL(None).syscall(number, pid, attributes, _ATTRIBUTES.size, 0):
        return 0
    return int(_ATTRIBUTES.unpack(attributes.raw)[5])
