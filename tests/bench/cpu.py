"""Processor time of everything that a measurement uses: servers, workers, sandboxes, who submits.

Unlike a rate it hardly depends on what else the machine does meanwhile.
"""

import resource

import psutil


def cpu_seconds() -> float:
    """Return the processor time used so far by all descendants of this process, ended ones too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
