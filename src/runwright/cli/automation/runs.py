"""`runwright automation runs`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from runwright.cli.apps import Commands
from runwright.cli.automation.options import (
    BASE,
    Id,
    Last,
    Since,
    Status,
    Until,
    path_of,
    read_runs,
    unwrapped,
)
from runwright.cli.automation.texts import plain, section, table
from runwright.cli.remote import Remote, Thing, reads, writes
from runwright.core.clock import system_clock

app = Commands(runs_alone=True)

JobId = Annotated[str | None, typer.Option(help="Only runs of this job.", show_default=False)]
TriggerId = Annotated[str | None, typer.Option(help="Only runs of this trigger.", show_default=False)]


@app.callback()
@reads
def list_(
    remote: Remote,
    *,
    context: typer.Context,
    job_id: JobId = None,
    trigger_id: TriggerId = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
) -> None:
    """The runs of jobs and triggers; without a command they are listed, newest first.

    Examples:
    $ runwright automation runs --since 24h --status failed
    """
    if context.invoked_subcommand is None:
        found = read_runs(
            remote,
            f"{BASE}/runs",
            system_clock(),
            last=last,
            since=since,
            until=until,
            status=status,
            job_id=job_id,
            trigger_id=trigger_id,
        )
        show_runs(remote, found)


@app.command()
@reads
def get(remote: Remote, *, run_id: Id) -> None:
    """Show one run.

    Examples:
    $ runwright automation runs get run-5f2c
    """
    remote.show(unwrapped(remote.get(path_of("runs", run_id)), "run"), describe_run)


@app.command()
@writes
def cancel(remote: Remote, *, run_id: Id) -> None:
    """Cancel a run that has not ended.

    Examples:
    $ runwright automation runs cancel run-5f2c
    """
    remote.show(unwrapped(remote.ask("POST", path_of("runs", run_id, "cancel")), "run"), describe_run)


@app.command()
@reads
def attempts(remote: Remote, *, run_id: Id) -> None:
    """List the attempts of a run, in order.

    Examples:
    $ runwright automation runs attempts run-5f2c
    """
    answer = remote.get(path_of("runs", run_id, "attempts")).get("attempts")
    found = [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
    remote.show_all("attempts", found, _attempt_table)


def _attempt_table(attempts: Sequence[Thing]) -> str:
    header = ("ATTEMPT", "STATUS", "SESSION", "STARTED", "ENDED", "ERROR")
    return table(header, attempts, "attempt", "status", "session_id", "started_at", "ended_at", "error")


def show_runs(remote: Remote, runs: Sequence[Thing]) -> None:
    """Print runs."""
    remote.show_all("runs", runs, _run_table)


def describe_run(run: Thing) -> str:
    """Return the description of a run."""
    names = ("status", "attempt", "job_id", "trigger_id", "session_id", "task_id", "fire_id", "scheduled_at")
    more = ("started_at", "ended_at", "error", "delivery_error")
    return section(f"Run {plain(run.get('id'))}", [(name, plain(run.get(name))) for name in (*names, *more)])


def _run_table(runs: Sequence[Thing]) -> str:
    rows = [run | {"of": run.get("job_id") or run.get("trigger_id")} for run in runs]
    header = ("ID", "STATUS", "ATTEMPT", "OF", "STARTED", "ENDED", "ERROR")
    return table(header, rows, "id", "status", "attempt", "of", "started_at", "ended_at", "error")
