"""`runwright automation tasks`: what runs of jobs with a task have left to people and agents."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.automations.model import TaskStatus
from runwright.cli.apps import Commands
from runwright.cli.automation.options import Id, Last, newest
from runwright.cli.exits import UsageError
from runwright.cli.output import Column, Thing, plain, render_table, section, thing_of
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.terminal import width_of

if TYPE_CHECKING:
    from runwright.client.models.automations import AutomationTaskInfo

app = Commands(runs_alone=True)

_DETAILS: Final = (
    *("id", "status", "description", "owner", "run_id", "job_id"),
    *("scope", "workspace_id", "created_at", "updated_at"),
)


@app.callback()
@reads
def list_(
    remote: Remote,
    *,
    context: typer.Context,
    status: Annotated[TaskStatus | None, typer.Option(help="Only tasks with this status.")] = None,
    last: Last = None,
) -> None:
    """The tasks that runs have created; without a command they are listed, newest first.

    Examples:
    $ runwright automation tasks --status open
    """
    if context.invoked_subcommand is None:
        remote.show_named("tasks", newest(remote.client.automations.tasks.list(status=status), last), _table)


@app.command()
@reads
def get(remote: Remote, *, task_id: Id) -> None:
    """Show one task.

    Examples:
    $ runwright automation tasks get task-5f2c
    """
    found = remote.client.automations.tasks.get(task_id)
    remote.output.thing(found, lambda: _describe(found))


@app.command()
@writes
def update(
    remote: Remote,
    *,
    task_id: Id,
    status: Annotated[TaskStatus | None, typer.Option(help="The new status.")] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="KIND:REF", help="The new owner, such as user:ada.")
    ] = None,
) -> None:
    """Set the status or the owner of a task.

    Examples:
    $ runwright automation tasks update task-5f2c --status done
    """
    if status is None and owner is None:
        raise UsageError("There is nothing to change.", hint="--status done, or --owner user:ada")
    changed = remote.writer.automations.tasks.update(
        task_id, status=status, owner=None if owner is None else _owner(owner)
    )
    remote.output.thing(changed, lambda: _describe(changed))


def _owner(text: str) -> dict[str, str]:
    kind, colon, ref = text.partition(":")
    if not (kind and colon and ref):
        raise UsageError(f"--owner is not KIND:REF: {text!r}.", hint="--owner user:ada")
    return {"kind": kind, "ref": ref}


def _describe(task: "AutomationTaskInfo") -> str:
    values = thing_of(task)
    return section(f"Task {task.title}", {name: plain(values.get(name)) for name in _DETAILS})


def _table(tasks: Sequence[Thing]) -> str:
    return render_table(tasks, _COLUMNS, cut_to=width_of(sys.stdout)) if tasks else "none"


_COLUMNS: Sequence[Column[Thing]] = (
    Column("ID", lambda task: plain(task.get("id"))),
    Column("STATUS", lambda task: plain(task.get("status"))),
    Column("TITLE", lambda task: plain(task.get("title")), flexible=True),
    Column("OWNER", lambda task: plain(task.get("owner")), flexible=True),
    Column("RUN", lambda task: plain(task.get("run_id"))),
    Column("CREATED", lambda task: plain(task.get("created_at")), flexible=True),
)
