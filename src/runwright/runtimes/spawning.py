"""Starting a process with the descriptors that it is meant to have, and no other."""

import contextlib
import fcntl
import os
from typing import Final

from runwright.runtimes.protocol import SOCKET_FD

INFO_FD: Final = SOCKET_FD + 1
BLOCK_FD: Final = SOCKET_FD + 2
SECCOMP_FD: Final = SOCKET_FD + 3
DOOR_FD: Final = SOCKET_FD + 4
_FIRST_SOURCE_FD: Final = 16


def copy_out(places: dict[int, int]) -> dict[int, int]:
    """Copy descriptors out of the way of the places that they shall have; -1 stands for no input."""
    copies: dict[int, int] = {}
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for place, source in places.items():
            number = null if source < 0 and place == 0 else source
            copies[place] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_SOURCE_FD)
    except OSError:
        close_all(copies)
        raise
    finally:
        os.close(null)
    return copies


def close_all(copies: dict[int, int]) -> None:
    """Close copies of descriptors."""
    for fd in copies.values():
        os.close(fd)


def spawn(argv: list[str], env: dict[str, str], copies: dict[int, int], *, own_session: bool) -> int:
    """Start a process with each of these descriptors in its place, and no other.

    What this process itself inherited, and may pass on, is closed: nothing of it may reach a sandbox.
    """
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()]
    actions += [(os.POSIX_SPAWN_DUP2, copy, place) for place, copy in copies.items()]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=own_session)


def _inheritable() -> list[int]:
    """Return the descriptors, beside the standard ones, that a new process would inherit."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  a listing, no paths
        with contextlib.suppress(OSError):
            if int(name) >= SOCKET_FD and os.get_inheritable(int(name)):
                found.append(int(name))
    return found
