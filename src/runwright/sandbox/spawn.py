"""Starting a process with the descriptors that it is meant to have, and no other."""

import contextlib
import ctypes
import fcntl
import os
from typing import Final

SOCKET_FD: Final = 3
"""Where a process in a sandbox finds its end of the socket that leads to us."""
INFO_FD: Final = SOCKET_FD + 1
BLOCK_FD: Final = SOCKET_FD + 2
SECCOMP_FD: Final = SOCKET_FD + 3
NETWORK_FD: Final = SOCKET_FD + 4
_FIRST_SOURCE_FD: Final = 16
_ROOM: Final = 1024
"""For the C library's structures, which have some 80 and 340 bytes."""
_SETSID: Final = 0x80


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
    """Start a process with each of these descriptors in its place, and no other; OSError where it cannot.

    What this process itself inherited, and may pass on, is closed: nothing of it may reach a sandbox.
    The C library is called directly, because `os.posix_spawn` lets no other thread of ours run until
    the new process has begun, and on a busy machine that takes milliseconds.
    """
    library = ctypes.CDLL(None)
    actions, attributes = ctypes.create_string_buffer(_ROOM), ctypes.create_string_buffer(_ROOM)
    library.posix_spawn_file_actions_init(actions)
    library.posix_spawnattr_init(attributes)
    pid = ctypes.c_int()
    try:
        for fd in _inheritable():
            library.posix_spawn_file_actions_addclose(actions, fd)
        for place, copy in copies.items():
            library.posix_spawn_file_actions_adddup2(actions, copy, place)
        if own_session:
            library.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSID))
        variables = [f"{name}={value}" for name, value in env.items()]
        program = os.fsencode(argv[0])
        texts = _array(argv), _array(variables)
        failed = library.posix_spawn(ctypes.byref(pid), program, actions, attributes, *texts)
    finally:
        library.posix_spawn_file_actions_destroy(actions)
        library.posix_spawnattr_destroy(attributes)
    if failed:
        raise OSError(failed, os.strerror(failed), argv[0])
    return pid.value


def _array(texts: list[str]) -> "ctypes.Array[ctypes.c_char_p]":
    encoded = [os.fsencode(text) for text in texts]
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def _inheritable() -> list[int]:
    """Return the descriptors, beside the standard ones, that a new process would inherit."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  a listing, no paths
        with contextlib.suppress(OSError):
            if int(name) >= SOCKET_FD and os.get_inheritable(int(name)):
                found.append(int(name))
    return found
