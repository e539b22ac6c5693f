"""Waits for a job while its log is shown; the first Ctrl-C detaches and leaves the job running."""

import threading
from typing import TYPE_CHECKING, Protocol

import typer

from runwright.cli.exits import ExitCode
from runwright.cli.terminal import note
from runwright.client.errors import ClientError
from runwright.client.models.jobs import LineInfo

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.jobs import JobInfo, ProgressInfo


class JobPrinter(Protocol):
    """Shows what is followed of a job."""

    def line(self, line: LineInfo) -> None:
        """Show a line of its log."""

    def progress(self, progress: "ProgressInfo") -> None:
        """Show how far it is."""

    def end(self) -> None:
        """Show no progress any more, also not later."""


class QuietPrinter:
    """Shows nothing."""

    def line(self, line: LineInfo) -> None:
        """Pass over a line."""

    def progress(self, progress: "ProgressInfo") -> None:
        """Pass over how far it is."""

    def end(self) -> None:
        """Do nothing."""


class LogFollower:
    """Reads a job's log in a thread of its own, until the job has ended."""

    def __init__(self, client: "Runwright", job_id: str, printer: JobPrinter, *, after: int = 0) -> None:
        self._client = client
        self._job_id = job_id
        self._printer = printer
        self._after = after
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self, seconds: float | None) -> bool:
        """Return whether the log has ended within that time. Raises what reading it raised."""
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            for part in self._client.jobs.follow(self._job_id, after=self._after):
                if isinstance(part, LineInfo):
                    self._printer.line(part)
                else:
                    self._printer.progress(part)
        except Exception as error:  # noqa: BLE001  raised in the thread that waits
            self._error = error
        finally:
            self._printer.end()


def wait_for(client: "Runwright", job_id: str, seconds: float | None, printer: JobPrinter) -> "JobInfo":
    """Return the job when it has ended, or as it is after so many seconds."""
    try:
        try:
            LogFollower(client, job_id, printer).join(seconds)
        finally:
            printer.end()
        return client.jobs.get(job_id)
    except ClientError:
        _name_running(job_id, f"The connection was lost; {job_id} continues on the server.")
        raise


def detach(job_id: str) -> typer.Exit:
    """Print how to follow or cancel a job that is left running, and return the exit."""
    _name_running(job_id, f"Detached; {job_id} keeps running.")
    return typer.Exit(ExitCode.INTERRUPTED)


def _name_running(job_id: str, why: str) -> None:
    note(f"\n{why}")
    note(f"  follow it  runwright logs {job_id} -f", "dim")
    note(f"  cancel it  runwright jobs cancel {job_id}", "dim")


def exit_code(job: "JobInfo") -> ExitCode:
    """Return the exit code for a job: 0 completed, 6 not ended, else 1."""
    if job.succeeded:
        return ExitCode.OK
    return ExitCode.FAILED if job.ended else ExitCode.TIMED_OUT
