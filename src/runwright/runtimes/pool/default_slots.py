"""How many sandboxes a host has room for, where the settings do not state it."""

import os
from pathlib import Path
from typing import Final

import msgspec

SANDBOX_BYTES: Final = 320 * 1024 * 1024
"""The memory limit of a sandbox with the default `memory_mb`, with what its runtime needs."""

SLOTS_PER_PROCESSOR: Final = 4
FEWEST_SLOTS: Final = 2
NEWCOMER_SLOTS: Final = 32
FEWEST_NEWCOMER_SLOTS: Final = 4
_MEMORY_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class HostResources(msgspec.Struct, frozen=True):
    """The processors and the memory that this process may use."""

    processors: int
    memory_bytes: int


def host_resources() -> HostResources:
    """Return the processors and the memory of this host or, where it has less, of its container."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [limit for limit in map(_number_in, map(Path, _MEMORY_LIMITS)) if limit is not None]
    return HostResources(len(os.sched_getaffinity(0)), min([memory, *limits]))


def _number_in(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is no such file, or no limit
        return None


def default_slots(setting: int | None, resources: HostResources) -> int:
    """Return how many jobs run at once: as set, or by the processors and a quarter of the memory."""
    if setting is not None:
        return setting
    room = resources.memory_bytes // 4 // SANDBOX_BYTES
    return max(FEWEST_SLOTS, min(SLOTS_PER_PROCESSOR * resources.processors, room))


def default_newcomer_slots(setting: int | None, resources: HostResources) -> int:
    """Return how many newcomers' jobs run beside them: as set, or by a half of the memory."""
    if setting is not None:
        return setting
    return max(FEWEST_NEWCOMER_SLOTS, min(NEWCOMER_SLOTS, resources.memory_bytes // 2 // SANDBOX_BYTES))
