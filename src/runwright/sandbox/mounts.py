"""Folders of this host that sandboxes mount, held so that nobody removes them meanwhile.

Who removes such a folder takes its exclusive lock first; a sandbox holds the shared one from
before its start until its tree is gone.
"""

import fcntl
import os
from collections.abc import Iterable
from typing import Final

import msgspec

from runwright.runtimes.model import WorkerCode

APP: Final = "/app"
CODE: Final = "/app/code"


class Mounts(msgspec.Struct, frozen=True):
    """What one sandbox mounts: the code whose folders they are, and the descriptors that hold them."""

    code: WorkerCode | None
    held: list[int]


def hold_folders(paths: Iterable[str]) -> list[int]:
    """Hold folders; OSError where one is not there or about to be removed."""
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
    """Let go of folders."""
    for fd in held:
        os.close(fd)


def folders_are_there(code: WorkerCode) -> bool:
    """Tell whether all that a sandbox of this code mounts is on this host."""
    return all(os.path.isdir(path) for path in code.folders)  # noqa: PTH112  on the way of every start


def load_payload(code: WorkerCode, *, mounted: bool, compiled: bool = False) -> bytes:
    """Return the payload of the LOAD frame: where the code is inside the sandbox, or the code itself.

    `compiled`: a compiled module comes with the message.
    """
    fields = {
        "entrypoint": code.entrypoint,
        "network": code.network,
        "memory_mb": code.memory_mb,
        "compiled": compiled,
    }
    if code.bundle is not None:
        fields["folder"] = CODE if mounted else code.bundle
    if code.layer is not None:
        fields["layer"] = APP if mounted else code.layer
    header = msgspec.json.encode(fields)
    return len(header).to_bytes(4, "little") + header + code.source
