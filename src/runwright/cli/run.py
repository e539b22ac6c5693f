"""`runwright run`: run a worker and print its output."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Never

import typer

from runwright.cli.completion import complete_workers
from runwright.cli.exits import UsageError, print_error
from runwright.cli.job_rendering import painted_status
from runwright.cli.live_lines import LinePrinter, LiveScreen
from runwright.cli.log_follower import QuietPrinter, detach, exit_code, wait_for
from runwright.cli.remote import DryRun, Remote, writes
from runwright.cli.stdin import read_bounded
from runwright.cli.terminal import note, one_line, painter, shown
from runwright.cli.times import milliseconds, parse_moment, require_duration
from runwright.client.json_values import path_text, unsendable

if TYPE_CHECKING:
    from runwright.client.models.jobs import JobInfo

_LARGEST_INPUT: Final = 1024 * 1024


@writes
def run(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    worker: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The worker, by name or id.", autocompletion=complete_workers),
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="KEY=VALUE|@FILE|-",
            help="A value (JSON, else text), a file of JSON, or stdin; repeatable.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--detach", help="Wait for the end and show the log; or only print the id.")
    ] = True,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Wait at most so long: 30s, 5m. Exit code 6.")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=10, help="1 (first) to 10 (last).")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Not before then: +10m, or a time.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key again is the same job.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the log.")] = False,
    cancel_on_interrupt: Annotated[
        bool,
        typer.Option("--cancel-on-interrupt", help="Ctrl-C cancels the job instead of leaving it running."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Run a worker and print its output.

    The log goes to stderr, the output to stdout. Ctrl-C leaves the job running and prints how to follow it.

    Examples:
    $ runwright run digest -i name=Ada
    $ echo '{"name": "Ada"}' | runwright run digest -i - -o json
    $ runwright run digest --at +10m --detach
    """
    values = read_input(input or ())
    options = _options(priority, at, idempotency_key)
    seconds = _seconds(timeout)
    if dry_run:
        found = remote.client.workers.get(worker)
        remote.output.thing(
            {"worker": found.name, "worker_id": found.id, "input": values, **options},
            lambda: f"would run {one_line(found.name)} v{found.version} with {json.dumps(values)}",
        )
        return
    job = remote.writer.jobs.submit(worker, values, **options)
    if not wait or at is not None:
        remote.output.thing(job, lambda: job.id)
        return
    _Waiting(remote, job, seconds, quiet=quiet, cancels=cancel_on_interrupt).finish()


def _options(priority: int | None, at: str | None, idempotency_key: str | None) -> dict[str, Any]:
    given = {
        "priority": priority,
        "scheduled_at": None if at is None else parse_moment("--at", at, datetime.now(UTC), ahead=True),
        "idempotency_key": idempotency_key,
    }
    return {name: value for name, value in given.items() if value is not None}


def _seconds(timeout: str | None) -> float | None:
    return None if timeout is None else require_duration("--timeout", timeout).total_seconds()


class _Waiting:
    """A job whose end is waited for."""

    def __init__(
        self, remote: Remote, job: "JobInfo", seconds: float | None, *, quiet: bool, cancels: bool
    ) -> None:
        self._remote = remote
        self._job = job
        self._seconds = seconds
        self._printer = QuietPrinter() if quiet else LinePrinter(LiveScreen(sys.stderr), job.id)
        self._cancels = cancels

    def finish(self) -> None:
        """Show the log and the output, and exit with what became of the job."""
        try:
            job = wait_for(self._remote.client, self._job.id, self._seconds, self._printer)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        self._remote.output.thing(job, lambda: _output_text(job))
        _show_end(job)
        raise typer.Exit(exit_code(job))

    def _interrupted(self) -> typer.Exit:
        if not self._cancels:
            return detach(self._job.id)
        self._remote.client.jobs.cancel(self._job.id)
        note(f"\nCancelled {self._job.id}.")
        return typer.Exit(130)


def _output_text(job: "JobInfo") -> str:
    return shown(json.dumps(job.output, indent=2, ensure_ascii=False), sys.stdout) if job.succeeded else ""


def _show_end(job: "JobInfo") -> None:
    """Print on stderr what became of a job."""
    paint = painter(sys.stderr)
    took = milliseconds(job.duration_ms)
    note(f"{painted_status(job.status, sys.stderr)}  {took}  {paint('dim', job.id)}")
    if job.error is not None:
        print_error(f"{job.error.code}: {job.error.message}", hint=f"runwright jobs get {job.id}")


def read_input(given: Sequence[str]) -> dict[str, Any]:
    """Return the input that `-i` describes; later ones add to earlier ones. UsageError if it is no object."""
    values: dict[str, Any] = {}
    for one in given:
        if one == "-" or one.startswith("@"):
            values |= _object(one, _text_of(one))
        else:
            name, equals, text = one.partition("=")
            if not equals or not name:
                raise UsageError(f"-i {one}: write KEY=VALUE, @FILE or -.")
            values[name] = _value(name, text)
    for path, problem in unsendable(values):
        raise UsageError(f"-i: {path_text(path)} {problem}")
    return values


def _text_of(place: str) -> str:
    try:
        if place == "-":
            return read_bounded(sys.stdin, "-i -", _LARGEST_INPUT)
        with Path(place[1:]).open(encoding="utf-8") as file:
            return read_bounded(file, f"-i {place}", _LARGEST_INPUT)
    except UnicodeDecodeError:
        raise UsageError(f"-i {place} is not UTF-8.") from None
    except OSError as error:
        raise UsageError(f"-i {place}: {error.strerror or error}.") from None


def _object(place: str, text: str) -> dict[str, Any]:
    try:
        found = _decoded(place, text)
    except ValueError as error:
        raise UsageError(f"-i {place} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise UsageError(f"-i {place} must hold a JSON object.")
    return found


def _value(name: str, text: str) -> Any:  # noqa: ANN401  JSON
    """Return JSON where the text is some, else the text: `rows=12` is a number, `name=Ada` a text."""
    try:
        return _decoded(name, text)
    except ValueError:
        return text


def _decoded(place: str, text: str) -> Any:  # noqa: ANN401  JSON
    """Return decoded JSON; ValueError for what is none, such as the NaN that Python takes for a number."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise UsageError(f"-i {place} is nested too deeply.") from None


def _refuse(constant: str) -> Never:
    raise ValueError(f"it holds {constant}")
