"""Shared locks on folders of this host that sandboxes mount, so that none is removed while in use.

Whatever removes such a folder takes its exclusive lock first; a sandbox holds the shared lock from
before its start until its process tree is gone.
"""

import fcntl
import os
from collections.abc import Iterable


def hold_folders(paths: Iterable[str]) -> list[int]:
    """Lock folders and return the descriptors; OSError where one is missing or about to be removed."""
    held: list[int] = []
    try:
        for path in paths:
            held.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            fcntl.flock(held[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(held[-1]), os.stat(path)):  # noqa: PTH116  as bwrap will look
                raise FileNotFoundError(path)
    except OSError:
        release_folders(held)
        raise
    return held


def release_folders(held: Iterable[int]) -> None:
    """Release the locks of `hold_folders`."""
    for fd in held:
        os.close(fd)


def folders_exist(paths: Iterable[str]) -> bool:
    """Return whether all folders are on this host."""
    return all(os.path.isdir(path) for path in paths)  # noqa: PTH112  called at every start of a sandbox
