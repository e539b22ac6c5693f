"""Start a process with exactly the descriptors that it is meant to have."""

import contextlib
import ctypes
import fcntl
import os
import signal
from typing import Final

SOCKET_FD: Final = 3
"""The descriptor of a sandboxed process's end of the socket to the server."""
INFO_FD: Final = SOCKET_FD + 1
BLOCK_FD: Final = SOCKET_FD + 2
SECCOMP_FD: Final = SOCKET_FD + 3
NETWORK_FD: Final = SOCKET_FD + 4
PASSWD_FD: Final = SOCKET_FD + 5
GROUP_FD: Final = SOCKET_FD + 6
_FIRST_SOURCE_FD: Final = 16
_STRUCTURE_BYTES: Final = 1024
"""More than the C library's structures have, which is about 80 and 340 bytes."""
_SIGNAL_SET_BYTES: Final = 128
_DEFAULT_SIGNALS: Final = 0x04 | 0x08
"""The flags of posix_spawn for signals with their default actions, none of them blocked."""
_SETSID: Final = 0x80


def duplicate_fds(sources: dict[int, int]) -> dict[int, int]:
    """Duplicate descriptors to numbers above the target numbers, which are the keys; -1 means no input."""
    copies: dict[int, int] = {}
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for target, source in sources.items():
            number = null if source < 0 and target == 0 else source
            copies[target] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_SOURCE_FD)
    except OSError:
        close_fds(copies)
        raise
    finally:
        os.close(null)
    return copies


def close_fds(copies: dict[int, int]) -> None:
    """Close what `duplicate_fds` made."""
    for fd in copies.values():
        os.close(fd)


def spawn(argv: list[str], env: dict[str, str], copies: dict[int, int], *, own_session: bool) -> int:
    """Start a process with these descriptors under their target numbers, and no others; return its pid.

    OSError where that fails. Inheritable descriptors of this process are closed in the new one: none may
    reach a sandbox. Nor does it inherit which signals this process ignores or blocks: python ignores SIGPIPE,
    and a program that inherits that does not end when what it writes is not read. The C library is called
    directly, because `os.posix_spawn` holds the interpreter
    lock until the new process has begun, which takes milliseconds on a busy machine.
    """
    library = ctypes.CDLL(None)
    actions, attributes = (
        ctypes.create_string_buffer(_STRUCTURE_BYTES),
        ctypes.create_string_buffer(_STRUCTURE_BYTES),
    )
    library.posix_spawn_file_actions_init(actions)
    library.posix_spawnattr_init(attributes)
    pid = ctypes.c_int()
    try:
        for fd in _inheritable():
            library.posix_spawn_file_actions_addclose(actions, fd)
        for target, copy in copies.items():
            library.posix_spawn_file_actions_adddup2(actions, copy, target)
        _reset_signals(library, attributes)
        flags = _DEFAULT_SIGNALS | (_SETSID if own_session else 0)
        library.posix_spawnattr_setflags(attributes, ctypes.c_short(flags))
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


def _reset_signals(library: ctypes.CDLL, attributes: "ctypes.Array[ctypes.c_char]") -> None:
    signals = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    library.sigemptyset(signals)
    library.posix_spawnattr_setsigmask(attributes, signals)
    for number in signal.valid_signals():
        library.sigaddset(signals, int(number))
    library.posix_spawnattr_setsigdefault(attributes, signals)


def _array(texts: list[str]) -> "ctypes.Array[ctypes.c_char_p]":
    encoded = [os.fsencode(text) for text in texts]
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def _inheritable() -> list[int]:
    """Return the descriptors, apart from the standard ones, that a new process would inherit."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  a listing, no paths
        with contextlib.suppress(OSError):
            if int(name) >= SOCKET_FD and os.get_inheritable(int(name)):
                found.append(int(name))
    return found
