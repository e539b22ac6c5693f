"""The metrics of an executor: its slots, its sandboxes and its lease."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from runwright.core.lease_term import LeaseTerm
from runwright.runtimes.pool.settings import PoolStats
from runwright.telemetry.prometheus import Family, MetricSample, family

_BOOT: Final = "runwright_sandbox_boot_seconds"


def executor_metrics(
    stats: Callable[[], PoolStats], term: LeaseTerm, *, slots: int, lease_seconds: float
) -> Iterator[Family]:
    """Yield the present values of the executor of this process."""
    found = stats()
    yield family("pool_slots", "gauge", "Slots of this executor, without those of newcomers.", slots)
    yield family("pool_running_jobs", "gauge", "Jobs in sandboxes of this executor.", found.running)
    yield family("pool_waiting_jobs", "gauge", "Claimed jobs that wait for a sandbox.", found.waiting)
    yield family(
        "sandboxes",
        "gauge",
        "Sandboxes of this executor by runtime and state; blank ones are booted and have no code yet.",
        [
            ({"runtime": runtime, "state": state}, count)
            for runtime, states in found.sandboxes.items()
            for state, count in states.items()
        ],
    )
    yield family(
        "job_starts_total",
        "counter",
        "Jobs given to a sandbox that had run their code before (warm), was booted and waiting (prebooted),"
        " or booted for them (cold).",
        [({"runtime": runtime, "start": how}, n) for (runtime, how), n in found.starts.items()],
    )
    yield _boots(found)
    yield from _lease(term, lease_seconds)


def _boots(found: PoolStats) -> Family:
    samples = [
        MetricSample(f"{_BOOT}_{part}", {"runtime": runtime}, value)
        for part, values in (("count", found.boots), ("sum", found.boot_seconds))
        for runtime, value in values.items()
    ]
    return Family(_BOOT, "summary", "How long sandboxes took to boot.", samples)


def _lease(term: LeaseTerm, lease_seconds: float) -> Iterator[Family]:
    left = min(max(term.ends - time.monotonic(), 0.0), lease_seconds)
    yield family(
        "executor_lease_age_seconds", "gauge", "How long ago the lease was renewed.", lease_seconds - left
    )
    yield family("executor_lease_seconds", "gauge", "How long a lease lasts.", lease_seconds)
