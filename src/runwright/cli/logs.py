"""`runwright logs`: the log of a job, or of a worker's newest jobs."""

import sys
import time
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from runwright.cli.completion import complete_workers
from runwright.cli.exits import ExitCode
from runwright.cli.live_lines import LinePrinter, LiveScreen
from runwright.cli.log_follower import JobPrinter, LogFollower, QuietPrinter, detach, exit_code
from runwright.cli.log_lines import LineFilter, LowestLevel, read_pattern
from runwright.cli.output import write_json
from runwright.cli.refs import find_job_id, is_full_id, is_suffix, short_id
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import painter
from runwright.cli.times import parse_moment
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.jobs import JobInfo, LineInfo

_JOBS: Final = 20
_LOOK_SECONDS: Final = 0.5
_NOT_FOUND: Final = 404
_STYLES: Final = ("cyan", "magenta", "blue", "green")


@reads
def logs(
    remote: Remote,
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="JOB|WORKER",
            help="An id or the end of one, or a worker.",
            autocompletion=complete_workers,
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new lines as they come.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only lines since then: 1h, or a time.")
    ] = None,
    level: Annotated[
        LowestLevel, typer.Option(metavar="LEVEL", help="At least: debug, info, warn or error.")
    ] = LowestLevel.DEBUG,
    grep: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Only lines that match a regular expression.")
    ] = None,
) -> None:
    """Show the log of a job, or of a worker's newest jobs.

    With -f the exit code of a job is its own: 0 completed, 1 failed. Ctrl-C stops reading, not the job.

    Examples:
    $ runwright logs digest --since 1h --level warn
    $ runwright logs job_01jd9x3v7m0000000000000000 -f
    """
    moment = None if since is None else parse_moment("--since", since, datetime.now(UTC))
    reader = _Reader(remote, LineFilter(level, read_pattern(grep), moment))
    job_id = _job_id(remote, name)
    if job_id is None:
        reader.worker(name, follow=follow)
    elif follow:
        reader.follow(job_id)
    else:
        reader.job(job_id)


def _job_id(remote: Remote, name: str) -> str | None:
    """Return the id of a job; None where a worker has this name."""
    if is_full_id(name) and name.startswith("job_"):
        return name
    try:
        remote.client.workers.get(name)
    except ApiError as error:
        if error.status != _NOT_FOUND or not is_suffix(name):
            raise
        return find_job_id(remote.client, name)
    return None


class _Reader:
    """Prints lines of jobs."""

    def __init__(self, remote: Remote, lines: LineFilter) -> None:
        self._client = remote.client
        self._lines = lines
        self._screen = LiveScreen(sys.stdout)
        self._as_json = remote.output.format.is_json
        self._printed: dict[str, int] = {}
        """The last line that was printed of each job that has not ended."""
        self._done: set[str] = set()
        """The jobs that have ended and been printed, or that are followed."""

    def job(self, job_id: str) -> None:
        printer = self._printer(job_id)
        for line in self._client.jobs.logs(job_id):
            printer.line(line)

    def follow(self, job_id: str) -> None:
        printer = self._printer(job_id)
        try:
            LogFollower(self._client, job_id, printer).join(None)
        except KeyboardInterrupt:
            printer.end()
            raise detach(job_id) from None
        raise typer.Exit(exit_code(self._client.jobs.get(job_id)))

    def worker(self, name: str, *, follow: bool) -> None:
        """Print the lines of a worker's newest jobs in the order of their times; then those of new ones."""
        self._print_merged(self._newest(name))
        if not follow:
            return
        running: list[LogFollower] = []
        try:
            while True:
                running = [one for one in (*running, *self._followers(name)) if not one.join(0)]
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    def _followers(self, name: str) -> list[LogFollower]:
        """Return followers of the jobs that have none yet."""
        jobs = [job for job in reversed(self._newest(name)) if job.id not in self._done]
        self._done.update(job.id for job in jobs)
        return [
            LogFollower(
                self._client, job.id, self._printer(job.id, label=True), after=self._printed.get(job.id, 0)
            )
            for job in jobs
        ]

    def _newest(self, name: str) -> "list[JobInfo]":
        return list(islice(self._client.jobs.list(worker=name, payloads=False, per_page=_JOBS), _JOBS))

    def _print_merged(self, jobs: "Sequence[JobInfo]") -> None:
        found = [
            (line, job.id) for job in jobs if self._may_have(job) for line in self._client.jobs.logs(job.id)
        ]
        self._done.update(job.id for job in jobs if job.ended)
        self._printed |= {job_id: line.seq for line, job_id in found}
        for line, job_id in sorted(found, key=lambda pair: (pair[0].ts, pair[1], pair[0].seq)):
            self._printer(job_id, label=True).line(line)

    def _may_have(self, job: "JobInfo") -> bool:
        """Return whether a job may have lines since the time that is asked for."""
        ended, since = job.completed_at, self._lines.since
        return job.started_at is not None and (since is None or ended is None or ended >= since)

    def _printer(self, job_id: str, *, label: bool = False) -> JobPrinter:
        if self._as_json:
            return _JsonPrinter(self._lines, {"job_id": job_id} if label else {})
        style = _STYLES[sum(job_id.encode()) % len(_STYLES)]
        shown = painter(sys.stdout)(style, short_id(job_id, sys.stdout)) if label else ""
        return LinePrinter(self._screen, job_id, self._lines, label=shown)


class _JsonPrinter(QuietPrinter):
    """Prints lines as JSON."""

    def __init__(self, lines: LineFilter, about: dict[str, object]) -> None:
        self._lines = lines
        self._about = about

    def line(self, line: "LineInfo") -> None:
        if self._lines.takes(line):
            write_json(self._about | msgspec.json.decode(line.raw), indent=None)
