"""The CPU shares of tenants: the jobs of one tenant never use all CPUs while others are active.

A CPU-bound job uses every CPU it may, and everything that wakes up next to it (the server, the database,
a short job) waits for its slice each time. So while several tenants are active, the sandboxes of those
with long jobs leave the first CPUs to the rest, and are deprioritized on the others. A tenant that is
alone has all CPUs, and so have short jobs. This is about latency, not isolation: code that asks the
kernel for more CPUs has them until the affinity is set again, a quarter of a second later.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

LONG_SECONDS: Final = 0.1
"""A job that runs longer makes its tenant one with long jobs ..."""
LONG_FOR_SECONDS: Final = 30.0
"""... for this time."""
ACTIVE_SECONDS: Final = 10.0
"""A tenant is active for this long after its latest job has begun."""


class CpuShare(msgspec.Struct, frozen=True):
    """The CPUs of a sandbox and its priority on them."""

    cpus: frozenset[int]
    deprioritized: bool


class CpuAffinity:
    """Decides the CPU share of each tenant from what its jobs did. Times are the event loop's."""

    def __init__(self, spared: int, available: Iterable[int]) -> None:
        """`spared`: how many CPUs long jobs leave to others; they keep at least one."""
        usable = sorted(available)
        self.full = CpuShare(frozenset(usable), deprioritized=False)
        self.reduced = CpuShare(frozenset(usable[min(spared, len(usable) - 1) :]), deprioritized=True)
        self._active: dict[str, float] = {}
        self._long: dict[str, float] = {}

    @property
    def contended(self) -> bool:
        """Whether any tenant has the reduced share."""
        return bool(self._long) and len({*self._active, *self._long}) > 1

    def record_start(self, tenant_id: str, now: float) -> None:
        """Record that a job begins."""
        self._active[tenant_id] = now

    def record_runtime(self, tenant_id: str, seconds: float, now: float) -> None:
        """Record how long a job ran, or has been running."""
        if seconds >= LONG_SECONDS:
            self._long[tenant_id] = now

    def share_of(self, tenant_id: str) -> CpuShare:
        """Return the share of a tenant's sandboxes."""
        return self.reduced if self.contended and tenant_id in self._long else self.full

    def boot_share(self) -> CpuShare:
        """Return the share of sandboxes that boot, which few jobs wait for."""
        return self.reduced if self.contended else self.full

    def expire(self, now: float) -> None:
        """Remove tenants that are no longer active, or no longer have long jobs."""
        self._active = {tenant: at for tenant, at in self._active.items() if now - at < ACTIVE_SECONDS}
        self._long = {tenant: at for tenant, at in self._long.items() if now - at < LONG_FOR_SECONDS}


def set_cpu_affinity(pids: Iterable[int], cpus: frozenset[int]) -> None:
    """Restrict processes, and what they start, to these CPUs; processes that are gone are skipped."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cpus)
