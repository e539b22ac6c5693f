"""Hints at new log lines and progress of jobs, for the streams of their tenants, between all processes.

A process sends hints to others only for tenants whose events they stream. Those processes repeat that every
`WATCH_SECONDS`. Hints about many jobs are sent together, and may be lost.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from runwright.events.feed_stream import JobHint, LogHint, ProgressHint

WATCH_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.25
_WATCH, _LOGS, _PROGRESS = "watch", "hint", "progress"
HINT_KINDS: Final = (_WATCH, _LOGS, _PROGRESS)
_EXPIRY_FACTOR: Final = 3
_JOBS_PER_NOTIFICATION: Final = 100
_REPORTS_PER_NOTIFICATION: Final = 5
"""Each has up to 1,400 bytes, and PostgreSQL takes 8,000."""

HintHandler = Callable[[str, JobHint], None]
"""Called with the id of a tenant and a hint."""


class JobHints:
    """The hints of one process. `send` sends a notification without its origin."""

    def __init__(self, send: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._monotonic = monotonic
        self._handlers: list[HintHandler] = []
        self._watched: dict[str, float] = {}
        """The tenants whose events are streamed elsewhere, and until when."""
        self._gathered: dict[str, dict[tuple[type, str], JobHint]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watch_at = 0.0

    def on_hint(self, call: HintHandler) -> None:
        """Call `call` with each hint at a job of this process, or of a watched tenant."""
        self._handlers.append(call)

    def watch(self, tenant_ids: Iterable[str]) -> None:
        """Ask other processes for hints at the jobs of tenants; to be called often."""
        now = self._monotonic()
        if now >= self._watch_at:
            self._watch_at = now + WATCH_SECONDS
            for tenant_id in tenant_ids:
                self._send(f"{_WATCH} {tenant_id}")

    def give(self, tenant_id: str, hint: JobHint) -> None:
        """Pass on a hint at a job of this process; of several of one kind and job the last one counts."""
        self._call(tenant_id, hint)
        if self._watched and self._watched.get(tenant_id, 0.0) > self._monotonic():
            self._gathered.setdefault(tenant_id, {})[type(hint), hint.subject_id] = hint
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def receive(self, kind: str, content: str) -> None:
        """Handle a notification of another process."""
        tenant_id, _, hints = content.partition(" ")
        if kind == _WATCH:
            now = self._monotonic()
            self._watched = {tenant: until for tenant, until in self._watched.items() if until > now}
            self._watched[tenant_id] = now + _EXPIRY_FACTOR * WATCH_SECONDS
            return
        for hint in _logs_from(hints) if kind == _LOGS else _decode_reports(hints):
            self._call(tenant_id, hint)

    def stop(self) -> None:
        """Drop what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _call(self, tenant_id: str, hint: JobHint) -> None:
        for call in self._handlers:
            call(tenant_id, hint)

    def _flush(self) -> None:
        self._timer = None
        gathered, self._gathered = self._gathered, {}
        for tenant_id, hints in gathered.items():
            logs = [hint for hint in hints.values() if isinstance(hint, LogHint)]
            for some in _parts(logs, _JOBS_PER_NOTIFICATION):
                pairs = " ".join(f"{hint.subject_id}:{hint.worker_id}" for hint in some)
                self._send(f"{_LOGS} {tenant_id} {pairs}")
            reports = [hint for hint in hints.values() if isinstance(hint, ProgressHint)]
            for several in _parts(reports, _REPORTS_PER_NOTIFICATION):
                self._send(f"{_PROGRESS} {tenant_id} {msgspec.json.encode(several).decode()}")


T = TypeVar("T")


def _parts(hints: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (hints[start : start + size] for start in range(0, len(hints), size))


_decode_reports: Final = msgspec.json.Decoder(list[ProgressHint]).decode


def _logs_from(pairs: str) -> Iterable[LogHint]:
    for pair in pairs.split(" "):
        job_id, _, worker_id = pair.partition(":")
        yield LogHint(job_id, worker_id)
