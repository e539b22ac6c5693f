"""Count the record locks of processes, whose memory the kernel neither charges nor limits."""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Final

MAX_FILE_LOCKS: Final = 8192
"""Of one sandbox."""
_READ_BYTES: Final = 2 * 1024 * 1024
"""Of the table of the whole host, some 40,000 locks: more than those of one sandbox may ever be."""
_CHUNK_BYTES: Final = 64 * 1024
_BLOCKED: Final = b"->"
_PID_COLUMN: Final = 4


def locks_by_process(least: int = 0) -> Counter[int]:
    """Return the number of locks by the process that holds them; empty where there are fewer in all."""
    table = _read_table()
    counts: Counter[int] = Counter()
    if table.count(b"\n") < least:
        return counts
    for line in table.splitlines():
        words = line.split()
        column = _PID_COLUMN + (_BLOCKED in words[1:2])
        if len(words) > column and words[column].isdigit():
            counts[int(words[column])] += 1
    return counts


def has_too_many_locks(pids: Iterable[int]) -> bool:
    """Return whether processes together hold more than `MAX_FILE_LOCKS`."""
    locks = locks_by_process(MAX_FILE_LOCKS)
    return bool(locks) and sum(locks[pid] for pid in pids) > MAX_FILE_LOCKS


def _read_table() -> bytes:
    pieces: list[bytes] = []
    try:
        file = os.open("/proc/locks", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        left = _READ_BYTES
        while left > 0 and (piece := os.read(file, _CHUNK_BYTES)):  # a page or so at a time
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(file)
    return b"".join(pieces)
