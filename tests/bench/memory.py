"""Idle memory of everything: the server, its PostgreSQL and its sandboxes.

PSS: private memory, plus each shared page divided by the number of processes that share it.
"""

import asyncio
from pathlib import Path
from typing import Final

import psutil

from tests.bench.result import Memory
from tests.bench.server import NOOP, make_worker, run_jobs, serving

IDLE_SECONDS: Final = 10.0
MIB: Final = 1024 * 1024


async def measure_memory(folder: Path) -> dict[str, Memory]:
    """Measure a server that has done nothing yet, and one whose first workers have run."""
    async with serving(folder) as server:
        await asyncio.sleep(IDLE_SECONDS)
        fresh = read_memory(server.pid)
        with server.connect() as connection:
            for runtime in NOOP:
                run_jobs(connection, make_worker(connection, runtime), 20)
        await asyncio.sleep(IDLE_SECONDS)
        return {"fresh": fresh, "after work": read_memory(server.pid)}


def read_memory(pid: int) -> Memory:
    """Add up the PSS of a process and of all its descendants, whatever session they are in."""
    leader = psutil.Process(pid)
    parts: dict[str, float] = {}
    count = 0
    for process in [leader, *leader.children(recursive=True)]:
        try:
            name, pss = process.name(), process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        label = "server" if process.pid == pid else name
        parts[label] = parts.get(label, 0.0) + pss / MIB
        count += 1
    return Memory(mib=sum(parts.values()), processes=count, parts=parts)
