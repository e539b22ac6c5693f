"""`runwright automation runs`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.cli.apps import Commands
from runwright.cli.automation.options import Id, Last, Since, Status, Until, newest, period
from runwright.cli.output import Column, Thing, plain, render_table, section, thing_of
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.terminal import width_of

if TYPE_CHECKING:
    from runwright.client.models.automations import AutomationRunInfo

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
        runs = remote.client.automations.runs.list(
            job_id=job_id, trigger_id=trigger_id, **which_runs(status, since, until)
        )
        show_runs(remote, newest(runs, last))


@app.command()
@reads
def get(remote: Remote, *, run_id: Id) -> None:
    """Show one run.

    Examples:
    $ runwright automation runs get run-5f2c
    """
    show_run(remote, remote.client.automations.runs.get(run_id))


@app.command()
@writes
def retry(remote: Remote, *, run_id: Id) -> None:
    """Run an ended run again, for what fired it then.

    Examples:
    $ runwright automation runs retry run-5f2c
    """
    show_run(remote, remote.writer.automations.runs.retry(run_id))


@app.command()
@writes
def cancel(remote: Remote, *, run_id: Id) -> None:
    """Cancel a run that has not ended.

    Examples:
    $ runwright automation runs cancel run-5f2c
    """
    show_run(remote, remote.writer.automations.runs.cancel(run_id))


@app.command()
@reads
def attempts(remote: Remote, *, run_id: Id) -> None:
    """List the attempts of a run, in order.

    Examples:
    $ runwright automation runs attempts run-5f2c
    """
    remote.show_named("attempts", remote.client.automations.runs.attempts(run_id), _attempt_table)


def which_runs(status: str | None, since: str | None, until: str | None) -> dict[str, Any]:
    """Return the runs that options select, as the SDK takes them."""
    return ({} if status is None else {"status": status}) | period(since, until)


def show_runs(remote: Remote, runs: Sequence["AutomationRunInfo"]) -> None:
    """Print runs."""
    remote.show_named("runs", runs, _table)


def show_run(remote: Remote, run: "AutomationRunInfo") -> None:
    """Print one run."""
    remote.output.thing(run, lambda: _describe(thing_of(run)))


def _describe(run: Thing) -> str:
    names = ("status", "attempt", "job_id", "trigger_id", "session_id", "task_id", "fire_id", "scheduled_at")
    more = ("started_at", "ended_at", "error", "delivery_error")
    return section(f"Run {plain(run.get('id'))}", {name: plain(run.get(name)) for name in (*names, *more)})


def _table(runs: Sequence[Thing]) -> str:
    return render_table(runs, _COLUMNS, cut_to=width_of(sys.stdout)) if runs else "none"


def _attempt_table(attempts: Sequence[Thing]) -> str:
    return render_table(attempts, _ATTEMPT_COLUMNS, cut_to=width_of(sys.stdout)) if attempts else "none"


_COLUMNS: Sequence[Column[Thing]] = (
    Column("ID", lambda run: plain(run.get("id"))),
    Column("STATUS", lambda run: plain(run.get("status"))),
    Column("ATTEMPT", lambda run: plain(run.get("attempt")), right=True),
    Column("OF", lambda run: plain(run.get("job_id") or run.get("trigger_id"))),
    Column("STARTED", lambda run: plain(run.get("started_at")), flexible=True),
    Column("ENDED", lambda run: plain(run.get("ended_at")), flexible=True),
    Column("ERROR", lambda run: plain(run.get("error")), flexible=True),
)
_ATTEMPT_COLUMNS: Sequence[Column[Thing]] = (
    Column("ATTEMPT", lambda one: plain(one.get("attempt")), right=True),
    Column("STATUS", lambda one: plain(one.get("status"))),
    Column("SESSION", lambda one: plain(one.get("session_id")), flexible=True),
    Column("STARTED", lambda one: plain(one.get("started_at")), flexible=True),
    Column("ENDED", lambda one: plain(one.get("ended_at")), flexible=True),
    Column("ERROR", lambda one: plain(one.get("error")), flexible=True),
)
