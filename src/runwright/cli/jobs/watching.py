"""`runwright jobs watch`: jobs or bulk operations until they have ended, or the newest ones live."""

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runwright.cli.exits import ExitCode
from runwright.cli.job_rendering import error_text, job_columns, painted_status
from runwright.cli.jobs.bulk import JobRefs, wait_for_operations
from runwright.cli.jobs.filters import JobFilters, takes_job_filters
from runwright.cli.log_follower import exit_code
from runwright.cli.output import render_table
from runwright.cli.progress import redrawn
from runwright.cli.refs import find_job_id
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import is_drawable, one_line, width_of
from runwright.cli.times import milliseconds, require_duration

if TYPE_CHECKING:
    from runwright.client.models.jobs import JobInfo

_LOOK_SECONDS: Final = 1.0
_ROWS: Final = 15
_BULK: Final = "blk_"


@reads
@takes_job_filters
def watch(
    remote: Remote,
    *,
    filters: JobFilters,
    jobs: JobRefs = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after so long: 30s, 5m. Exit code 6.")
    ] = None,
) -> None:
    """Watch jobs until they have ended; without ids the newest ones, until Ctrl-C.

    The exit code is 0 if all of them completed, else 1.

    Examples:
    $ runwright jobs watch job_01jd9x3v7m0000000000000000 --timeout 5m
    $ runwright jobs watch --worker digest --timeout 2s
    """
    until = _deadline(timeout)
    if jobs and jobs[0].startswith(_BULK):
        raise typer.Exit(wait_for_operations(remote, jobs, until))
    if jobs:
        _watch_some(remote, [find_job_id(remote.client, one) for one in jobs], until)
    else:
        _watch_newest(remote, filters, until)


def _deadline(timeout: str | None) -> float | None:
    if timeout is None:
        return None
    return time.monotonic() + require_duration("--timeout", timeout).total_seconds()


def _watch_some(remote: Remote, ids: Sequence[str], until: float | None) -> None:
    """Print each change of state of some jobs, and exit with the worst that became of them."""
    states: dict[str, str] = {}
    found: list[JobInfo] = []
    for _ in _looks(until):
        found = [remote.client.jobs.get(one) for one in ids]
        for job in found:
            if states.get(job.id) != job.status:
                states[job.id] = job.status
                _print_state(remote, job)
        if all(job.ended for job in found):
            break
    raise typer.Exit(max(exit_code(job) for job in found))


def _print_state(remote: Remote, job: "JobInfo") -> None:
    if not remote.output.is_table:
        remote.output.thing(job, str)
        return
    parts = (job.id, painted_status(job.status, sys.stdout), milliseconds(job.duration_ms))
    sys.stdout.write(
        "  ".join([*(part for part in parts if part), one_line(error_text(job))]).rstrip() + "\n"
    )
    sys.stdout.flush()


def _watch_newest(remote: Remote, filters: JobFilters, until: float | None) -> None:
    """Show the newest jobs again and again."""
    selection = filters.selection() | {"payloads": not remote.output.is_table}
    if not (is_drawable(sys.stdout) and remote.output.is_table):
        _print_changes(remote, selection, until)
    else:
        with redrawn() as draw:
            for _ in _looks(until):
                draw(_table(list(islice(remote.client.jobs.list(**selection, per_page=_ROWS), _ROWS))))
    raise typer.Exit(ExitCode.TIMED_OUT)


def _print_changes(remote: Remote, selection: dict[str, Any], until: float | None) -> None:
    states: dict[str, str] = {}
    for _ in _looks(until):
        newest = list(islice(remote.client.jobs.list(**selection, per_page=_ROWS), _ROWS))
        for job in reversed(newest):
            if states.get(job.id) != job.status:
                _print_state(remote, job)
        states = {job.id: job.status for job in newest}


def _table(jobs: Sequence["JobInfo"]) -> str:
    if not jobs:
        return "There are no such jobs yet."
    columns = [one for one in job_columns(datetime.now(UTC)) if not one.wide]
    return render_table(jobs, columns, cut_to=width_of(sys.stdout))


def _looks(until: float | None) -> Iterator[None]:
    """Return now and then every second, until the time is up; then the exit code is that of a time-out."""
    while True:
        yield
        left = _LOOK_SECONDS if until is None else until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _LOOK_SECONDS))
