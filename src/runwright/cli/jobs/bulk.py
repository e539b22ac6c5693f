"""`runwright jobs cancel` and `retry`: some jobs by id, or all that a filter selects."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from runwright.cli.completion import complete_jobs
from runwright.cli.exits import CommandError, ExitCode, UsageError
from runwright.cli.jobs.filters import JobFilters, takes_job_filters
from runwright.cli.progress import progress_bar
from runwright.cli.refs import find_job_id, is_full_id
from runwright.cli.remote import DryRun, Remote, writes
from runwright.cli.stdin import read_ids
from runwright.cli.terminal import note, painter
from runwright.cli.times import milliseconds
from runwright.client.errors import ClientError

if TYPE_CHECKING:
    from runwright.client.models.jobs import BulkInfo

_MOST_IDS: Final = 1_000
"""Ids in one bulk operation of the API."""

_LOOK_SECONDS: Final = 0.15
_BULK: Final = "blk_"

JobRefs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Ids, or the ends of ids.", autocompletion=complete_jobs),
]
Stdin = Annotated[
    bool,
    typer.Option(
        "--stdin", help="Read ids from stdin: one a line, or the JSON lines of `jobs list -o jsonl`."
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait until all are done.")]


class RerunVersion(StrEnum):
    """Which version of the code a retry runs."""

    LATEST = "latest"
    ORIGINAL = "original"


class _Action(msgspec.Struct, frozen=True):
    """What is done to the jobs."""

    name: str
    default_status: str
    """What `described` says where no state is given."""
    done: str
    none_left: str


_CANCEL: Final = _Action("cancel", "queued and running", "cancelled", "")
_RETRY: Final = _Action("retry", "failed", "retried", " Jobs that were retried already are left out.")


@writes
@takes_job_filters
def cancel(
    remote: Remote,
    *,
    filters: JobFilters,
    jobs: JobRefs = None,
    stdin: Stdin = False,
    dry_run: DryRun = False,
    detach: Detach = False,
) -> None:
    """Cancel jobs: queued ones at once, running ones are asked to end.

    Name them by id, by ids on stdin, or by what is true of all of them.

    Examples:
    $ runwright jobs cancel --worker digest --status queued --dry-run
    $ runwright jobs cancel --worker digest --status queued -y
    $ runwright jobs list --status queued -o jsonl | runwright jobs cancel --stdin -y
    """
    if jobs and all(one.startswith(_BULK) for one in jobs):
        _stop_operations(remote, jobs)
        return
    _Selection(remote, _CANCEL, filters, _ids(remote, jobs, stdin=stdin)).act(dry_run=dry_run, detach=detach)


@writes
@takes_job_filters
def retry(
    remote: Remote,
    *,
    filters: JobFilters,
    jobs: JobRefs = None,
    stdin: Stdin = False,
    dry_run: DryRun = False,
    detach: Detach = False,
    version: Annotated[
        RerunVersion, typer.Option(help="Run the version that serves now, or the one that the job ran.")
    ] = RerunVersion.LATEST,
) -> None:
    """Run ended jobs again, by default failed ones, on the version that serves now.

    Jobs that are named are run again however they ended. A job that was retried already is left out, so
    that the same command twice runs no job twice; a retry that has failed is a job of its own.

    Examples:
    $ runwright jobs retry --status failed --since 24h --dry-run
    $ runwright jobs retry --status failed --since 24h -y
    """
    selection = _Selection(
        remote, _RETRY, filters, _ids(remote, jobs, stdin=stdin), {"version": version.value}
    )
    selection.act(dry_run=dry_run, detach=detach)


def _ids(remote: Remote, jobs: Sequence[str] | None, *, stdin: bool) -> list[str] | None:
    """Return the ids that are named; None where the filter selects the jobs."""
    if not jobs and not stdin:
        return None
    named = [*(jobs or ()), *(read_ids("job") if stdin else ())]
    return list(dict.fromkeys(one if is_full_id(one) else find_job_id(remote.client, one) for one in named))


class _Selection:
    """The jobs of one command, and what is done to them."""

    def __init__(
        self,
        remote: Remote,
        action: _Action,
        filters: JobFilters,
        ids: list[str] | None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        if ids is not None and filters.given:
            raise UsageError("Give either ids or a filter.")
        if ids is None and not filters.given:
            raise UsageError(
                f"Name the jobs to {action.name}: ids, or a filter.",
                hint="All of a worker: --worker NAME --dry-run",
            )
        self._remote = remote
        self._action = action
        self._ids = ids
        self._options = options
        self._which = {} if ids is not None else filters.selection()
        self._described = filters.described()
        if filters.status is None:
            self._described = f"{action.default_status} {self._described}"

    def act(self, *, dry_run: bool, detach: bool) -> None:
        """Count the jobs, ask, do it, and wait for the end with a progress bar."""
        if dry_run or not self._remote.yes:
            matched = self._count()
            if dry_run or not matched:
                self._show_count(matched)
                return
            them = "it" if matched == 1 else "them"
            self._remote.confirm(f"{self._text(matched)}. {self._action.name.capitalize()} {them}?")
        started = time.monotonic()
        operations: list[BulkInfo] = []
        with continuing(operations):
            operations.extend(map(self._start, self._parts()))  # keeps those before one that fails
            if not detach:
                _wait_until_ended(self._remote, operations)
        self._show(operations, time.monotonic() - started)

    def _parts(self) -> list[dict[str, Any]]:
        if self._ids is None:
            return [self._which]
        return [{"ids": self._ids[n : n + _MOST_IDS]} for n in range(0, len(self._ids), _MOST_IDS)]

    def _count(self) -> int:
        jobs = self._remote.client.jobs
        method = jobs.bulk_cancel if self._action is _CANCEL else jobs.bulk_retry
        return sum(method(dry_run=True, **part, **self._options).matched for part in self._parts())

    def _start(self, part: dict[str, Any]) -> "BulkInfo":
        jobs = self._remote.writer.jobs
        method = jobs.bulk_cancel if self._action is _CANCEL else jobs.bulk_retry
        return method(**part, **self._options)

    def _text(self, count: int) -> str:
        if self._ids is not None:
            return f"{count} of the {len(self._ids)} jobs that are named"
        return f"{count} {self._described}".replace(" jobs", " job", 1 if count == 1 else 0)

    def _show_count(self, matched: int) -> None:
        if self._remote.output.format.is_json:
            self._remote.output.thing({"action": self._action.name, "dry_run": True, "matched": matched}, str)
        elif matched:
            sys.stdout.write(f"{self._action.name} would apply to {self._text(matched)}.\n")
        else:
            self._show_none()

    def _show_none(self) -> None:
        named = "none of the jobs that are named" if self._ids is not None else f"no {self._described}"
        sys.stdout.write(f"Nothing to {self._action.name}: {named}.{self._action.none_left}\n")

    def _show(self, operations: Sequence["BulkInfo"], seconds: float) -> None:
        if self._remote.output.format.is_json:
            for one in operations:
                self._remote.output.thing(one, str)
        else:
            self._show_end(operations, seconds)
        failed = sum(one.failed for one in operations)
        if failed:
            reasons = [one.error for one in operations if one.error] or ["their workers take no jobs"]
            raise CommandError(f"{failed} could not be {self._action.done}: {reasons[0]}")

    def _show_end(self, operations: Sequence["BulkInfo"], seconds: float) -> None:
        paint = painter(sys.stdout)
        if any(not one.ended for one in operations):
            sys.stdout.write(f"started {' '.join(str(one.id) for one in operations)}\n")
            return
        done, matched = sum(one.done for one in operations), sum(one.matched for one in operations)
        if not matched:
            self._show_none()
            return
        skipped = sum(one.skipped for one in operations)
        left = f", {skipped} had changed meanwhile" if skipped else ""
        took = milliseconds(seconds * 1000)
        mark = paint("green", "✓") if done else paint("red", "✗")
        sys.stdout.write(f"{mark} {done}/{matched} {self._action.done}{left}   {took}\n")


def _wait_until_ended(
    remote: Remote, operations: list["BulkInfo"], until: float | None = None
) -> Sequence["BulkInfo"]:
    """Return operations, each replaced by what became of it, when they have ended or at `until`."""
    with progress_bar("", sum(one.matched for one in operations)) as advance:
        while True:
            advance(sum(one.done + one.failed + one.skipped for one in operations))
            if all(one.ended for one in operations) or (until is not None and time.monotonic() >= until):
                return operations
            time.sleep(_LOOK_SECONDS)
            for n, one in enumerate(operations):
                operations[n] = one if one.ended else remote.client.jobs.bulk(str(one.id))


@contextmanager
def continuing(operations: Sequence["BulkInfo"]) -> Iterator[None]:
    """Say which operations of the server continue where Ctrl-C or a lost connection ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        _name_running(operations, "Detached")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except ClientError:
        _name_running(operations, "The connection was lost")
        raise


def _name_running(operations: Sequence["BulkInfo"], why: str) -> None:
    ids = " ".join(str(one.id) for one in operations if not one.ended)
    if ids:
        note(f"\n{why}; the operation continues on the server.")
        note(f"  see it end  runwright jobs watch {ids}", "dim")
        note(f"  stop it     runwright jobs cancel {ids}", "dim")


def wait_for_operations(remote: Remote, ids: Sequence[str], until: float | None) -> ExitCode:
    """Watch bulk operations until they have ended, print them, and return what became of them."""
    operations = [remote.client.jobs.bulk(one) for one in ids]
    with continuing(operations):
        _wait_until_ended(remote, operations, until)
    for one in operations:
        _show_operation(remote, one)
    if any(not one.ended for one in operations):
        return ExitCode.TIMED_OUT
    return ExitCode.FAILED if any(one.failed for one in operations) else ExitCode.OK


def _stop_operations(remote: Remote, ids: Sequence[str]) -> None:
    for one in ids:
        stopped = remote.writer.jobs.bulk_stop(one)
        _show_operation(remote, stopped)


def _show_operation(remote: Remote, operation: "BulkInfo") -> None:
    remote.output.thing(operation, lambda: _described(operation))


def _described(operation: "BulkInfo") -> str:
    counts = (
        f"{operation.done}/{operation.matched} done, {operation.failed} failed, {operation.skipped} skipped"
    )
    return f"{operation.id}  {operation.action}  {operation.status}  {counts}"
