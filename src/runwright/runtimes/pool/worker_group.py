"""The sandboxes of one key (tenant, worker, version, limits) and the jobs that wait for one."""

from collections import deque
from typing import Final

from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.running_job import RunningJob
from runwright.runtimes.pool.sandbox import Sandbox
from runwright.runtimes.pool.settings import PoolSettings

_WEIGHT: Final = 0.2
"""Weight of the newest job in the average duration."""
_SMALL_BYTES: Final = 32 * 1024
"""Jobs with larger input do not queue behind another job, because they would fill the socket."""


class WorkerGroup:
    """One key's sandboxes, waiting jobs and measured speed."""

    __slots__ = ("code", "idle", "members", "queues", "seconds", "waiting")

    def __init__(self, code: WorkerCode) -> None:
        self.code = code
        self.members: set[Sandbox] = set()
        self.idle: list[Sandbox] = []
        self.waiting: deque[RunningJob] = deque()
        self.seconds: float | None = None
        self.queues = True
        """Whether jobs may wait behind each other: not if they write past the harness, so that output could
        be taken for the next job's, or make requests, whose answers come after what waits."""

    def measure(self, micros: int) -> None:
        """Add the duration of a completed job to the average."""
        took = micros / 1e6
        self.seconds = took if self.seconds is None else self.seconds + _WEIGHT * (took - self.seconds)

    def slow_down(self, settings: PoolSettings) -> None:
        """Stop queueing jobs behind others until they are measured fast again."""
        if self.seconds is not None:
            self.seconds = max(self.seconds, settings.fast_seconds)

    def depth(self, settings: PoolSettings) -> int:
        """Return how many jobs may wait behind a running one."""
        seconds = self.seconds
        if seconds is None or seconds >= settings.fast_seconds or not self.queues:
            return 0
        return min(settings.pipeline_depth, int(settings.pipeline_seconds / max(seconds, 1e-6)))

    def spare(self, settings: PoolSettings) -> int:
        """Return how many more jobs the sandboxes' sockets may take, beyond those that wait already."""
        depth = self.depth(settings)
        if not depth:
            return 0
        spare = sum(depth + 1 - len(s.in_flight) for s in self.members if s.may_queue)
        return max(0, spare - len(self.waiting))

    def least_loaded(self, job: RunningJob, depth: int) -> Sandbox | None:
        """Return the busy sandbox in which the job would wait the shortest."""
        if len(job.assignment.input) > _SMALL_BYTES:
            return None
        best, least = None, depth + 1
        for sandbox in self.members:
            load = len(sandbox.in_flight)
            if load < least and sandbox.may_queue:
                best, least = sandbox, load
        return best
