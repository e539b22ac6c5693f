"""`runwright automation jobs`: prompts on a clock."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from runwright.cli.automation.definitions import Definitions
from runwright.cli.automation.options import (
    Agent,
    Enabled,
    Id,
    Last,
    Name,
    Prompt,
    Retry,
    Scope,
    ScopeOption,
    Since,
    Source,
    Status,
    Until,
    Workspace,
    changes,
    path_of,
    switched,
    unwrapped,
)
from runwright.cli.automation.runs import describe_run
from runwright.cli.automation.texts import (
    limit_text,
    plain,
    retry_body,
    retry_text,
    schedule_body,
    schedule_text,
    section,
    table,
)
from runwright.cli.remote import Remote, Thing, asks_server

app = typer.Typer(help="Prompts on a clock.", invoke_without_command=True)

ScheduleOption = Annotated[str, typer.Option(help="A cron expression, every:<duration>, or at:<time>.")]
NewSchedule = Annotated[
    str | None, typer.Option(help="A cron expression, every:<duration>, or at:<time>.", show_default=False)
]


def _describe_job(job: Thing) -> str:
    """Return a job for people to read."""
    rows = [
        ("id", plain(job.get("id"))),
        ("scope", plain(job.get("scope"))),
        ("workspace", plain(job.get("workspace_id"))),
        ("agent", plain(job.get("agent_name"))),
        ("schedule", schedule_text(job.get("schedule"))),
        ("enabled", plain(job.get("enabled"))),
        ("next run", plain(job.get("next_run"))),
        ("retry", retry_text(job.get("retry"))),
        ("fire limit", limit_text(job.get("fire_limit"))),
        ("source", plain(job.get("source"))),
        ("task", plain(job.get("task"))),
        ("prompt", plain(job.get("prompt"))),
        ("created", plain(job.get("created_at"))),
        ("updated", plain(job.get("updated_at"))),
    ]
    return section(f"Job {plain(job.get('name'))}", rows)


def _job_table(jobs: Sequence[Thing]) -> str:
    rows = [job | {"when": schedule_text(job.get("schedule"))} for job in jobs]
    header = ("ID", "NAME", "SCOPE", "AGENT", "SCHEDULE", "ENABLED", "NEXT RUN")
    return table(header, rows, "id", "name", "scope", "agent_name", "when", "enabled", "next_run")


_JOBS: Final = Definitions("job", describe=_describe_job, table=_job_table)


@app.callback()
@asks_server
def list_(
    remote: Remote,
    *,
    context: typer.Context,
    scope: Scope | None = None,
    workspace: Workspace = None,
    source: Source | None = None,
    last: Last = None,
) -> None:
    """List jobs by name."""
    if context.invoked_subcommand is None:
        _JOBS.list(remote, last, scope=scope, workspace_id=workspace, source=source)


@app.command()
@asks_server
def create(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    name: Name,
    scope: ScopeOption,
    schedule: ScheduleOption,
    agent: Agent,
    prompt: Prompt,
    workspace: Workspace = None,
    retry: Retry = None,
    enabled: Enabled = None,
) -> None:
    """Make a job."""
    body = changes(
        name=name,
        scope=scope,
        workspace_id=workspace,
        schedule=schedule_body(schedule),
        agent_name=agent,
        prompt=prompt,
        retry=None if retry is None else retry_body(retry),
        enabled=switched(enabled),
    )
    _JOBS.create(remote, body)


@app.command()
@asks_server
def get(remote: Remote, *, job_id: Id) -> None:
    """Show one job."""
    _JOBS.get(remote, job_id)


@app.command()
@asks_server
def update(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    job_id: Id,
    name: Annotated[str | None, typer.Option(show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(show_default=False)] = None,
    workspace: Workspace = None,
    prompt: Annotated[str | None, typer.Option(show_default=False)] = None,
    schedule: NewSchedule = None,
    retry: Retry = None,
    enabled: Enabled = None,
) -> None:
    """Change a job; what is not given stays."""
    body = changes(
        name=name,
        agent_name=agent,
        workspace_id=workspace,
        prompt=prompt,
        schedule=None if schedule is None else schedule_body(schedule),
        retry=None if retry is None else retry_body(retry),
        enabled=switched(enabled),
    )
    _JOBS.change(remote, job_id, body)


@app.command()
@asks_server
def delete(remote: Remote, *, job_id: Id) -> None:
    """Delete a job and print what it was."""
    _JOBS.delete(remote, job_id)


@app.command()
@asks_server
def trigger(remote: Remote, *, job_id: Id) -> None:
    """Fire a job now, wait for its run, and print it."""
    remote.show(unwrapped(remote.ask("POST", path_of("jobs", job_id, "trigger")), "run"), describe_run)


@app.command()
@asks_server
def history(
    remote: Remote,
    *,
    job_id: Id,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
) -> None:
    """List the runs of a job, the newest first."""
    _JOBS.history(remote, job_id, status=status, since=since, until=until, last=last)
