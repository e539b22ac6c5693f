"""Hints between those who make work, those who do it and those who wait for it.

Within a process they are plain calls; between processes they travel by NOTIFY, a hint that
may be lost: whoever relies on one also looks at the tables now and then. Ready hints are
merged, at most one per `HINT_SECONDS`, because NOTIFY takes a database-wide lock at commit.
New log lines are announced only for jobs whose log somebody follows, which that somebody says
again every `FOLLOW_SECONDS`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from runwright.jobs.model import JobEnd

HINT_SECONDS: Final = 0.02
FOLLOW_SECONDS: Final = 5.0
_FORGET_FACTOR: Final = 3
_IDS_PER_HINT: Final = 200

Send = Callable[[str], None]


class EndWatch:
    """Somebody who waits for the end of a job; `end` may say how it ended when `woken` is set."""

    __slots__ = ("end", "woken")

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.end: JobEnd | None = None


class JobNotifications:
    """The switchboard of one process; `origin` marks its own hints so that it ignores their echo."""

    def __init__(self, *, origin: str, send: Send, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._origin = origin
        self._send = send
        self._on_ready: list[Callable[[datetime | None], None]] = []
        self._on_cancel: list[Callable[[str], None]] = []
        self._on_moved: list[Callable[[], None]] = []
        self._watches: dict[str, list[EndWatch]] = {}
        self._followed: dict[str, float] = {}
        self._hint_timer: asyncio.TimerHandle | None = None

    def on_ready(self, call: Callable[[datetime | None], None]) -> None:
        """Call when jobs may be claimable: now, or (not None) not before then."""
        self._on_ready.append(call)

    def on_moved(self, call: Callable[[], None]) -> None:
        """Call when jobs of this process were queued or have ended; often, so it must be quick."""
        self._on_moved.append(call)

    def on_cancel(self, call: Callable[[str], None]) -> None:
        """Call with an executor's id when one of its jobs is to be cancelled."""
        self._on_cancel.append(call)

    def jobs_ready(self, run_at: datetime | None = None) -> None:
        """Say that jobs were queued here; `run_at` where they wait until then."""
        for call in self._on_ready:
            call(run_at)
        for moved in self._on_moved:
            moved()
        if self._hint_timer is None:
            self._send(f"{self._origin} ready")
            self._hint_timer = asyncio.get_running_loop().call_later(HINT_SECONDS, self._hint_again)

    def _hint_again(self) -> None:
        self._hint_timer = None
        self._send(f"{self._origin} ready")

    def cancel_requested(self, executor_id: str) -> None:
        """Say that a running job of this executor is to be cancelled."""
        for call in self._on_cancel:
            call(executor_id)
        self._send(f"{self._origin} cancel {executor_id}")

    def jobs_ended(self, job_ids: Iterable[str]) -> None:
        """Wake those in this process who wait for these jobs."""
        for job_id in job_ids:
            self.job_ended(job_id, None)

    def job_ended(self, job_id: str, end: JobEnd | None) -> bool:
        """Wake those in this process who wait for this job; tells whether anybody did.

        `end` says how it ended, so that they need not read it.
        """
        for moved in self._on_moved:
            moved()
        watches = self._watches.get(job_id, ())
        for watch in watches:
            watch.end = end
            watch.woken.set()
        return bool(watches)

    def wake_all(self) -> None:
        """Wake everybody who waits for a job, because this process stops."""
        for watches in self._watches.values():
            for watch in watches:
                watch.woken.set()

    def announce_ended(self, job_ids: list[str]) -> None:
        """Wake those in other processes who wait for these jobs."""
        for start in range(0, len(job_ids), _IDS_PER_HINT):
            self._send(f"{self._origin} ended {' '.join(job_ids[start : start + _IDS_PER_HINT])}")

    def follow(self, job_id: str) -> None:
        """Ask other processes to say when the job logs something or ends; repeat in time."""
        self._send(f"{self._origin} follow {job_id}")

    def followed(self, job_id: str) -> bool:
        """Tell whether somebody in another process follows the job."""
        if not self._followed:
            return False
        now = self._monotonic()
        if self._followed.get(job_id, 0.0) < now:
            self._followed = {job: until for job, until in self._followed.items() if until >= now}
            return False
        return True

    def logs_written(self, job_id: str) -> None:
        """Wake those who follow the job's log, here and elsewhere."""
        self._wake(job_id)
        if self.followed(job_id):
            self._send(f"{self._origin} logs {job_id}")

    def _wake(self, job_id: str) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.woken.set()

    @contextmanager
    def watching(self, job_id: str) -> Iterator["EndWatch"]:
        """Give a watch that is woken when the job may have ended."""
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
        """Take a hint that another process sent; an empty one says that some may have been missed."""
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
            self._followed[content] = self._monotonic() + _FORGET_FACTOR * FOLLOW_SECONDS

    def stop(self) -> None:
        """Drop the pending hint; those who need it look by themselves."""
        if self._hint_timer is not None:
            self._hint_timer.cancel()
            self._hint_timer = None
