"""The module `runwright` inside a sandbox: `from runwright import job, log`.

`job` is the job that runs, whichever that is when it is used. Both are for the process of the handler; a
process that it forks can use neither.
"""

import signal
import threading
from datetime import datetime, timezone
from typing import Any

from runwright_channel import LEVELS, JobCallError, JobChannel
from runwright_wire import JobModules

__all__ = ["JobCallError", "JobWorker", "job", "log"]

_session = JobModules.connected()
_channel = JobChannel(_session)
_ANYTHING: Any = object()


class JobWorker:
    """The worker whose code this is."""

    def __init__(self, id: str, name: str, version: int) -> None:
        self.id = id
        self.name = name
        self.version = version

    def __repr__(self) -> str:
        return f"{self.name} v{self.version}"


class SandboxedJob:
    """The job that runs."""

    def __init__(self) -> None:
        self._watched: int | None = None
        self._cancelled = False

    @property
    def id(self) -> str:
        """Its id."""
        return str(_channel.context()["id"])

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return int(_channel.context()["attempt"])

    @property
    def worker(self) -> JobWorker:
        """The id, the name and the version of its worker."""
        context = _channel.context()
        return JobWorker(context["worker_id"], context["worker_name"], context["worker_version"])

    @property
    def deadline(self) -> datetime:
        """When its time is over, in UTC."""
        seconds = _channel.context()["timeout_seconds"]
        return datetime.fromtimestamp(_channel.began + seconds, timezone.utc)  # noqa: UP017  as 3.11 has it too

    @property
    def cancelled(self) -> bool:
        """Whether the job is to be cancelled.

        From the first time that this is read, a cancel no longer ends the process at once: the handler has
        the grace period to clean up and return. Read it in the main thread first, which receives signals.
        """
        if self._watched != _session.assignment_id:
            self._watch()
        return self._cancelled

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Report how far the job is, from 0 to 1, and what it does; the last report is kept."""
        _channel.progress(fraction, message)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the worker's state."""
        value = _channel.ask("get", key=str(key))
        return default if value is None else value

    def set(self, key: str, value: Any, *, expect: Any = _ANYTHING) -> bool:
        """Write a value of the worker's state; None deletes it.

        With `expect`, only if that is the value now (None: there is none); return whether it was written.
        """
        expected = {} if expect is _ANYTHING else {"expect": expect}
        return bool(_channel.ask("set", key=str(key), value=value, **expected))

    def emit(self, type: str, payload: Any = None, *, key: str | None = None) -> str:
        """Publish an event whose type begins with `custom.`, and return its id; with `key` once per job."""
        payload = {} if payload is None else payload
        return str(_channel.ask("emit", type=str(type), payload=payload, key=_text(key)))

    def start(self, worker: str, input: dict[str, Any] | None = None, *, key: str | None = None) -> str:
        """Start a job of another worker of the tenant, and return its id; with `key` once per job."""
        return str(_channel.ask("start", worker=str(worker), input=input or {}, key=_text(key)))

    def _watch(self) -> None:
        _channel.context()  # RuntimeError where no job is running
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("Read job.cancelled in the main thread before other threads read it")
        self._watched, self._cancelled = _session.assignment_id, False
        before = signal.getsignal(signal.SIGTERM)

        def note(number: int, frame: Any) -> None:
            self._cancelled = True
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, note)
        _channel.cleanups.append(lambda: _restore(note, before))


def _text(key: object) -> str | None:
    return None if key is None else str(key)


def _restore(note: Any, before: Any) -> None:
    """Give SIGTERM its former effect, unless user code has changed it."""
    if signal.getsignal(signal.SIGTERM) is note:
        signal.signal(signal.SIGTERM, before)


class SandboxedLog:
    """Writes log lines with fields: `log.info("fetched", rows=12)`."""

    def debug(self, message: object, /, **fields: Any) -> None:
        """Write a line of the level debug."""
        _channel.record(LEVELS["debug"], str(message), fields)

    def info(self, message: object, /, **fields: Any) -> None:
        """Write a line of the level info."""
        _channel.record(LEVELS["info"], str(message), fields)

    def warn(self, message: object, /, **fields: Any) -> None:
        """Write a line of the level warn."""
        _channel.record(LEVELS["warn"], str(message), fields)

    warning = warn

    def error(self, message: object, /, **fields: Any) -> None:
        """Write a line of the level error."""
        _channel.record(LEVELS["error"], str(message), fields)


job = SandboxedJob()
log = SandboxedLog()
