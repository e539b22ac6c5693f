"""What a measurement gives."""

from collections.abc import Sequence
from typing import Self

import msgspec


class Throughput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Jobs worked off per second; `accepted_per_second` is how fast the submitter was answered.

    `cpu_us_per_job` is the processor time of everything together, the submitter too;
    `others_percent` is how much of the machine other processes used meanwhile.
    """

    jobs: int
    seconds: float
    per_second: float
    cpu_us_per_job: float
    others_percent: float
    accepted_per_second: float | None = None
    answer_p50_ms: float | None = None
    answer_p99_ms: float | None = None


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Drains of the same size beside few stored jobs, beside many, and while half of those are pruned.

    `few` and `many` count the stored jobs; of the many a tenth is queued. `load_seconds` is how long it took to
    store them, `pruned` how many were deleted during the last drain.
    """

    few: int
    many: int
    load_seconds: float
    beside_few: Throughput
    beside_many: Throughput
    while_pruned: Throughput
    pruned: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long single requests took."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Return the percentiles of some durations."""
        ordered = sorted(seconds)
        return cls(
            count=len(ordered),
            p50_ms=1000 * ordered[len(ordered) // 2],
            p99_ms=1000 * ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)],
            max_ms=1000 * ordered[-1],
        )


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The pages in a browser; `late_percent`: of the frames of each scroll, how many came after more than 17 ms."""

    times: dict[str, Latency]
    late_percent: dict[str, float]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional set size of a tree of processes, and its parts by process name."""

    mib: float
    processes: int
    parts: dict[str, float]


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """Bulk operations on so many jobs: how long they took, and another tenant's jobs alone and beside them."""

    jobs: int
    waits: dict[str, Latency]
    seconds: dict[str, float]


class Claimers(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that sleep, run by several executors; `of_ideal` is how much of the ideal throughput they reach."""

    executors: int
    jobs: int
    seconds: float
    of_ideal: float


class Ticks(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the ticks of some minutes. `idle_cores` is what waiting for the next one costs."""

    schedules: int
    minutes: int
    expected: int
    fired: int
    missing: int
    surplus: int
    lateness: Latency
    idle_cores: float


class Ingress(msgspec.Struct, frozen=True, kw_only=True):
    """Signed webhooks that came in at an even pace, each answered when it was stored."""

    deliveries: int
    per_second: float
    answer: Latency


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to a receiver that is well, `to_slow` meanwhile to one that is slow, and none to a dead one."""

    events: int
    per_second: float
    to_slow: int
    lateness: Latency


class CommandTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The median time of commands, and how long one took to cancel many jobs."""

    milliseconds: dict[str, float]
    cancelled: int
    cancel_seconds: float


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """One event to many agents, and many events to a few. `copy_seconds`: as many like rows, copied."""

    agents: int
    one_to_all_seconds: float
    copy_seconds: float
    events: int
    per_second: float
    lateness: Latency
