"""`runwright automation jobs`: prompts on a schedule."""

from typing import Final

import typer

from runwright.automations.model import AutomationScope, DefinitionSource, JobFields
from runwright.cli.apps import Commands
from runwright.cli.automation.definitions import DefinitionCommands, takes_definition
from runwright.cli.automation.options import Id, Last, OnlyWorkspace
from runwright.cli.automation.runs import show_run
from runwright.cli.output import Thing
from runwright.cli.remote import Remote, reads, writes

app = Commands(runs_alone=True)

_JOBS: Final = DefinitionCommands(
    "job",
    hidden=("scheduler",),
    columns=("id", "name", "scope", "agent_name", "schedule", "enabled", "next_run"),
)


@app.callback()
@reads
def list_(
    remote: Remote,
    *,
    context: typer.Context,
    scope: AutomationScope | None = None,
    workspace: OnlyWorkspace = None,
    source: DefinitionSource | None = None,
    last: Last = None,
) -> None:
    """Prompts on a schedule; without a command they are listed by name.

    Examples:
    $ runwright automation jobs
    """
    if context.invoked_subcommand is None:
        _JOBS.list(remote, last, scope=scope, workspace_id=workspace, source=source)


@app.command()
@writes
@takes_definition(JobFields, new=True)
def create(remote: Remote, *, body: Thing) -> None:
    r"""Create a job.

    Examples:
    $ runwright automation jobs create --name nightly --scope global --agent tidy \
      --prompt "Tidy up." --schedule "0 3 * * *"
    """
    _JOBS.create(remote, body)


_JOBS.add_get(app)


@app.command()
@writes
@takes_definition(JobFields, new=False)
def update(remote: Remote, *, job_id: Id, body: Thing) -> None:
    """Change a job; fields that are not given stay unchanged.

    Examples:
    $ runwright automation jobs update job-5f2c --schedule every:2h --retry backoff:3:10s
    """
    _JOBS.change(remote, job_id, body)


_JOBS.add_delete(app)


@app.command()
@writes
def trigger(remote: Remote, *, job_id: Id) -> None:
    """Fire a job now, wait for its run, and print it.

    Examples:
    $ runwright automation jobs trigger job-5f2c
    """
    show_run(remote, remote.writer.automations.jobs.trigger(job_id))


_JOBS.add_history(app)
