"""Waits for a job while its log is shown; the first Ctrl-C detaches and leaves the job running."""

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

import typer

from runwright.cli.exits import ExitCode
from runwright.cli.log_lines import LineFilter, format_line
from runwright.cli.terminal import note

if TYPE_CHECKING:
    from runwright.client import Runwright
    from runwright.client.models.jobs import JobInfo, LineInfo

ShowLine = Callable[["LineInfo"], None]


class LogFollower:
    """Reads a job's log in a thread of its own, until the job has ended."""

    def __init__(self, client: "Runwright", job_id: str, show: ShowLine, *, after: int = 0) -> None:
        self._client = client
        self._job_id = job_id
        self._show = show
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
            for line in self._client.jobs.logs(self._job_id, follow=True, after=self._after):
                self._show(line)
        except Exception as error:  # noqa: BLE001  raised in the thread that waits
            self._error = error


def line_printer(stream: TextIO, lines: LineFilter | None = None, *, label: str = "") -> ShowLine:
    """Return a function that prints lines as they come."""
    chosen = lines or LineFilter()

    def show(line: "LineInfo") -> None:
        if chosen.takes(line):
            stream.write(format_line(line, stream, label=label) + "\n")
            stream.flush()

    return show


def wait_for(client: "Runwright", job_id: str, seconds: float | None, show: ShowLine) -> "JobInfo":
    """Return the job when it has ended, or as it is after so many seconds."""
    LogFollower(client, job_id, show).join(seconds)
    return client.jobs.get(job_id)


def detach(job_id: str) -> typer.Exit:
    """Print how to follow or cancel a job that is left running, and return the exit."""
    note(f"\nDetached; {job_id} keeps running.")
    note(f"  follow it  runwright logs {job_id} -f", "dim")
    note(f"  cancel it  runwright jobs cancel {job_id}", "dim")
    return typer.Exit(ExitCode.INTERRUPTED)


def exit_code(job: "JobInfo") -> ExitCode:
    """Return the exit code for a job: 0 completed, 6 not ended, else 1."""
    if job.succeeded:
        return ExitCode.OK
    return ExitCode.FAILED if job.ended else ExitCode.TIMED_OUT


def stderr_printer() -> ShowLine:
    """Return a function that prints lines on stderr, beside a result on stdout."""
    return line_printer(sys.stderr)
