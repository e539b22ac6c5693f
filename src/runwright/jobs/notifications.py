"""Notifications about jobs between submitters, executors and waiting requests.

Within a process they are plain calls; between processes they are sent by NOTIFY and may be lost:
every receiver also reads the tables periodically. "ready" notifications are merged (see `Announcer`).
New log lines and progress are announced only for jobs whose log is being followed; followers repeat their
subscription every `FOLLOW_SECONDS`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from runwright.db.announcer import Announcer
from runwright.events.feed_stream import LogHint, ProgressHint
from runwright.jobs.job_hints import HINT_KINDS, JobHints
from runwright.jobs.model import AttemptEnd, AttemptPart, ClaimedAttempt, LogChunk

FOLLOW_SECONDS: Final = 5.0
_EXPIRY_FACTOR: Final = 3
_IDS_PER_NOTIFICATION: Final = 200

Send = Callable[[str], None]


class EndWatch:
    """A wait for the end of a job; `woken` is set when it may have ended, `end` where it is known how."""

    __slots__ = ("end", "woken")

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.end: AttemptEnd | None = None


class JobNotifications:
    """The notifications of one process; `origin` marks those that it sent, which it ignores on return."""

    def __init__(self, *, origin: str, send: Send, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._origin = origin
        self._send = send
        self._on_ready: list[Callable[[datetime | None], None]] = []
        self._on_cancel: list[Callable[[str], None]] = []
        self._on_changed: list[Callable[[], None]] = []
        self._on_started: list[Callable[[], None]] = []
        self.job_hints = JobHints(lambda message: send(f"{origin} {message}"), monotonic)
        self._watches: dict[str, list[EndWatch]] = {}
        self._followed: dict[str, float] = {}
        self._ready = Announcer(lambda: send(f"{origin} ready"))

    def on_ready(self, call: Callable[[datetime | None], None]) -> None:
        """Call `call` when jobs may be claimable: now, or at the given time."""
        self._on_ready.append(call)

    def on_changed(self, call: Callable[[], None]) -> None:
        """Call `call` when jobs of this process were queued or have ended; often, so it must be quick."""
        self._on_changed.append(call)

    def on_started(self, call: Callable[[], None]) -> None:
        """Call `call` when jobs were claimed in this process."""
        self._on_started.append(call)

    def on_cancel(self, call: Callable[[str], None]) -> None:
        """Call `call` with an executor's id when the cancel of one of its jobs was requested."""
        self._on_cancel.append(call)

    def jobs_ready(self, run_at: datetime | None = None) -> None:
        """Notify all executors that jobs were queued, claimable now or at `run_at`."""
        for call in self._on_ready:
            call(run_at)
        for changed in self._on_changed:
            changed()
        self.announce_ready()

    def jobs_started(self) -> None:
        """Report that jobs were claimed in this process."""
        for call in self._on_started:
            call()

    def announce_ready(self) -> None:
        """Notify the executors of other processes that jobs may be claimable."""
        self._ready.announce()

    def cancel_requested(self, executor_id: str) -> None:
        """Notify an executor that the cancel of one of its jobs was requested."""
        for call in self._on_cancel:
            call(executor_id)
        self._send(f"{self._origin} cancel {executor_id}")

    def jobs_ended(self, job_ids: Iterable[str]) -> None:
        """Wake the waits of this process for these jobs."""
        for job_id in job_ids:
            self.job_ended(job_id, None)

    def job_ended(self, job_id: str, end: AttemptEnd | None) -> bool:
        """Wake the waits of this process for this job; return whether there were any.

        `end`: how it ended, so that they need not read it.
        """
        for changed in self._on_changed:
            changed()
        watches = self._watches.get(job_id, ())
        for watch in watches:
            watch.end = end
            watch.woken.set()
        return bool(watches)

    def wake_all(self) -> None:
        """Wake all waits, because this process stops."""
        for watches in self._watches.values():
            for watch in watches:
                watch.woken.set()

    def announce_ended(self, job_ids: list[str]) -> None:
        """Wake the waits of other processes for these jobs."""
        for start in range(0, len(job_ids), _IDS_PER_NOTIFICATION):
            self._send(f"{self._origin} ended {' '.join(job_ids[start : start + _IDS_PER_NOTIFICATION])}")

    def follow(self, job_id: str) -> None:
        """Ask other processes to notify this one when the job logs something or ends; to be repeated."""
        self._send(f"{self._origin} follow {job_id}")

    def followed(self, job_id: str) -> bool:
        """Return whether another process follows the job."""
        if not self._followed:
            return False
        now = self._monotonic()
        if self._followed.get(job_id, 0.0) < now:
            self._followed = {job: until for job, until in self._followed.items() if until >= now}
            return False
        return True

    def logs_written(self, job_id: str) -> None:
        """Wake the followers of the job's log, in this and in other processes."""
        self._wake(job_id)
        if self.followed(job_id):
            self._send(f"{self._origin} logs {job_id}")

    def part_written(self, attempt: ClaimedAttempt, part: AttemptPart) -> None:
        """Wake the followers of a running job, and give a hint to the streams of its tenant."""
        self.logs_written(attempt.job_id)
        self.job_hints.give(
            attempt.tenant_id,
            LogHint(attempt.job_id, attempt.worker_id)
            if isinstance(part, LogChunk)
            else ProgressHint(attempt.job_id, attempt.worker_id, part.fraction, part.message, part.at),
        )

    def _wake(self, job_id: str) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.woken.set()

    @contextmanager
    def watching(self, job_id: str) -> Iterator["EndWatch"]:
        """Return a watch that is woken when the job may have ended."""
        watch = EndWatch()
        self._watches.setdefault(job_id, []).append(watch)
        try:
            yield watch
        finally:
            watches = self._watches[job_id]
            watches.remove(watch)
            if not watches:
                del self._watches[job_id]

    def receive(self, payload: str) -> None:
        """Handle a notification of another process; an empty one means that some may have been lost."""
        origin, _, rest = payload.partition(" ")
        kind, _, content = rest.partition(" ")
        if origin == self._origin:
            return
        if kind == "ready" or not payload:
            for ready in self._on_ready:
                ready(None)
        elif kind == "cancel":
            for cancel in self._on_cancel:
                cancel(content)
        elif kind == "ended":
            self.jobs_ended(content.split(" "))
        elif kind == "logs":
            self._wake(content)
        elif kind == "follow":
            self._followed[content] = self._monotonic() + _EXPIRY_FACTOR * FOLLOW_SECONDS
        elif kind in HINT_KINDS:
            self.job_hints.receive(kind, content)

    def stop(self) -> None:
        """Drop the pending notification; its receivers read the tables anyway."""
        self.job_hints.stop()
        self._ready.stop()
