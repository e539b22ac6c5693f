"""How long a process may run before another one that has woken up may take its processor.

The kernel gives everybody slices of some milliseconds, and who wakes up waits for the end of one.
On its way from a request to its answer a job wakes a dozen processes, so beside programs that never
sleep it would wait a dozen times. With short slices the server, and the database that it starts, go
first whenever they have something to do; they get no more of the processor than before. Sandboxes
keep the usual slices. Kernels before 6.12 ignore all this.
"""

import ctypes
import os
import struct
from typing import Final

SHORT_NANOSECONDS: Final = 100_000
USUAL: Final = 0
_SET: Final = {"x86_64": 314, "aarch64": 274}
_GET: Final = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES: Final = struct.Struct("IIQiIQQQII")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, clamps."""


def set_scheduler_slice(pid: int, nanoseconds: int) -> bool:
    """Set the slices of a process (0: of this thread) and of what it starts; False where that is unknown."""
    number = _SET.get(os.uname().machine)
    try:
        if number is None or os.sched_getscheduler(pid) != os.SCHED_OTHER:
            return False
        nice = os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return False
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, pid, attributes, 0) == 0)


def slice_of(pid: int) -> int:
    """Return the slices of a process in nanoseconds; 0 where the kernel does not tell."""
    number = _GET.get(os.uname().machine)
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if number is None or ctypes.CDLL(None).syscall(number, pid, attributes, _ATTRIBUTES.size, 0):
        return 0
    return int(_ATTRIBUTES.unpack(attributes.raw)[5])
