"""Hints that jobs have written log lines, for the streams of their tenants, from any process to any other.

A process sends hints to others only for tenants whose events they stream. Those processes repeat that every
`WATCH_SECONDS`. Hints about many jobs are sent together, and may be lost.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from runwright.core.ids import JobId, WorkerId

WATCH_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.25
HINT_KINDS: Final = ("watch", "hint")
_EXPIRY_FACTOR: Final = 3
_JOBS_PER_NOTIFICATION: Final = 100

HintHandler = Callable[[str, JobId, WorkerId], None]
"""Called with the ids of a tenant, a job and its worker."""


class LogHints:
    """The hints of one process. `send` sends a notification without its origin."""

    def __init__(self, send: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._monotonic = monotonic
        self._handlers: list[HintHandler] = []
        self._watched: dict[str, float] = {}
        """The tenants whose events are streamed elsewhere, and until when."""
        self._gathered: dict[str, dict[str, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watch_at = 0.0

    def on_hint(self, call: HintHandler) -> None:
        """Call `call` when a job of this process, or of a watched tenant, has written log lines."""
        self._handlers.append(call)

    def watch(self, tenant_ids: Iterable[str]) -> None:
        """Ask other processes for hints about the jobs of tenants; to be called often."""
        now = self._monotonic()
        if now >= self._watch_at:
            self._watch_at = now + WATCH_SECONDS
            for tenant_id in tenant_ids:
                self._send(f"watch {tenant_id}")

    def written(self, tenant_id: str, job_id: JobId, worker_id: WorkerId) -> None:
        """Report that a job of this process has written log lines."""
        for call in self._handlers:
            call(tenant_id, job_id, worker_id)
        if self._watched and self._watched.get(tenant_id, 0.0) > self._monotonic():
            self._gathered.setdefault(tenant_id, {})[job_id] = worker_id
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def receive(self, kind: str, content: str) -> None:
        """Handle a notification of another process."""
        tenant_id, _, jobs = content.partition(" ")
        if kind == "watch":
            now = self._monotonic()
            self._watched = {tenant: until for tenant, until in self._watched.items() if until > now}
            self._watched[tenant_id] = now + _EXPIRY_FACTOR * WATCH_SECONDS
        else:
            for pair in jobs.split(" "):
                job_id, _, worker_id = pair.partition(":")
                for call in self._handlers:
                    call(tenant_id, JobId(job_id), WorkerId(worker_id))

    def stop(self) -> None:
        """Drop what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        gathered, self._gathered = self._gathered, {}
        for tenant_id, jobs in gathered.items():
            pairs = [f"{job_id}:{worker_id}" for job_id, worker_id in jobs.items()]
            for start in range(0, len(pairs), _JOBS_PER_NOTIFICATION):
                self._send(f"hint {tenant_id} {' '.join(pairs[start : start + _JOBS_PER_NOTIFICATION])}")
