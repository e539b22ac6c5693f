"""What sandboxes may take of the processors: those of one tenant never take all from the others.

What computes for long takes every processor that it may, and whoever wakes up beside it, the server,
the database or a short job, waits for its turn each time. So while several tenants are at work,
those whose jobs are long leave the first processors to the rest, and where they meet somebody on the
others, they give way to them. A tenant that is alone has them all, and so do short jobs. It is a
matter of turns, not of walls: code that asks the kernel for more processors gets them until the next
look, a quarter of a second later.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

LONG_SECONDS: Final = 0.1
"""A job that runs longer makes its tenant's jobs long ones ..."""
LONG_FOR_SECONDS: Final = 30.0
"""... for this time."""
AT_WORK_SECONDS: Final = 10.0
"""So long after its latest job has begun, a tenant is at work."""


class CpuShare(msgspec.Struct, frozen=True):
    """What a sandbox may take."""

    processors: frozenset[int]
    gives_way: bool
    """Whether it runs only a little wherever others want to run."""


class CpuAffinity:
    """Who is at work, whose jobs are long, and what follows for each tenant. Times are the loop's."""

    def __init__(self, spared: int, available: Iterable[int]) -> None:
        """`spared`: how many processors long jobs leave to others; one at least stays theirs."""
        usable = sorted(available)
        self.all = CpuShare(frozenset(usable), gives_way=False)
        self.less = CpuShare(frozenset(usable[min(spared, len(usable) - 1) :]), gives_way=True)
        self._at_work: dict[str, float] = {}
        self._long: dict[str, float] = {}

    @property
    def tight(self) -> bool:
        """Whether anybody has to do with less."""
        return bool(self._long) and len({*self._at_work, *self._long}) > 1

    def begin(self, tenant_id: str, now: float) -> None:
        """Hear that a job begins."""
        self._at_work[tenant_id] = now

    def ran(self, tenant_id: str, seconds: float, now: float) -> None:
        """Hear how long a job ran, or has been running."""
        if seconds >= LONG_SECONDS:
            self._long[tenant_id] = now

    def of(self, tenant_id: str) -> CpuShare:
        """Return what a tenant's sandboxes may take."""
        return self.less if self.tight and tenant_id in self._long else self.all

    def of_new(self) -> CpuShare:
        """Return what sandboxes may take that boot: nobody waits for most of them."""
        return self.less if self.tight else self.all

    def look(self, now: float) -> None:
        """Forget who has been idle, and whose jobs are short now."""
        self._at_work = {who: at for who, at in self._at_work.items() if now - at < AT_WORK_SECONDS}
        self._long = {who: at for who, at in self._long.items() if now - at < LONG_FOR_SECONDS}


def move(pids: Iterable[int], processors: frozenset[int]) -> None:
    """Let these processes, and what they start, run on those processors only; gone ones are passed over."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), processors)
