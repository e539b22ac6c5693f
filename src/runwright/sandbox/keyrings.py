"""The kernel's keyrings, which only user namespaces isolate.

The seccomp filter denies every call for them. Without the filter, sandboxes get a session keyring
without permissions, and no uid that still has keys.
"""

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_JOIN, _SETPERM = 1, 5
_SESSION: Final = -3


def hide_session_keyring() -> None:
    """Give this thread, and the processes it starts, an empty session keyring without permissions."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        library = ctypes.CDLL(None)
        if library.syscall(number, _JOIN, None) >= 0:
            library.syscall(number, _SETPERM, _SESSION, 0)


def uids_with_keys() -> set[int]:
    """Return the uids that have keys, including those without a process."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/key-users").read_text().splitlines()
        return {int(line.partition(":")[0]) for line in lines}
    return set()
