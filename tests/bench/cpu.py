"""Processor time of everything that a measurement uses: servers, workers, sandboxes, who submits.

Unlike a rate it hardly depends on what else the machine does meanwhile; how much that was is
measured as well, so that a disturbed rate can be told from a slow one.
"""

import os
import resource
import time

import msgspec
import psutil


class CpuUse(msgspec.Struct, frozen=True):
    """Seconds that we used, and how many per cent of the machine somebody else used."""

    seconds: float
    others_percent: float


class CpuMeter:
    """Measures from its making on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ours, self._bench, self._machine = _descendants(), _bench(), _machine()

    def read(self) -> CpuUse:
        """Return what was used since."""
        ours, bench, machine = (
            _descendants() - self._ours,
            _bench() - self._bench,
            _machine() - self._machine,
        )
        capacity = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return CpuUse(ours, max(0.0, 100 * (machine - ours - bench) / capacity))


def _descendants() -> float:
    """Return the processor time of all descendants of this process so far, ended ones too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _bench() -> float:
    times = os.times()
    return times.user + times.system


def _machine() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
