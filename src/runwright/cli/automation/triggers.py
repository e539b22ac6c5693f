"""`runwright automation triggers`: prompts for events and webhooks."""

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.automations.model import AutomationScope, DefinitionSource, TriggerFields
from runwright.cli.apps import Commands
from runwright.cli.automation.definitions import DefinitionCommands, takes_definition
from runwright.cli.automation.options import Id, Last, OnlyWorkspace
from runwright.cli.output import Thing
from runwright.cli.prompts import read_secret_option
from runwright.cli.remote import Remote, reads, writes
from runwright.client.environment import WEBHOOK_SECRET

if TYPE_CHECKING:
    from runwright.client.models.automations import AutomationInfo

app = Commands(runs_alone=True)

_SECRET: Final = "webhook_secret_value"  # noqa: S105  a name, not a secret
_OPTION: Final = "--webhook-secret-value"
Secret = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="-|@FILE",
        help="The secret that deliveries are signed with: asked for or read from stdin, or from a file.",
        show_default=False,
    ),
]


def _given(secret: str | None) -> Thing:
    """Return the field of the API for the secret that an option names."""
    if secret is None:
        return {}
    return {_SECRET: read_secret_option(_OPTION, secret, "The webhook's secret")}


def _webhook_path(trigger: "AutomationInfo") -> Thing:
    path = getattr(trigger, "webhook_path", None)
    return {} if path is None else {"webhook": path}


_TRIGGERS: Final = DefinitionCommands(
    "trigger",
    extra=_webhook_path,
    hidden=("endpoint_slug", "webhook_id", "webhook_secret_present", "webhook_secret_hash"),
    columns=("id", "name", "scope", "event", "agent_name", "enabled"),
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
    event: Annotated[str | None, typer.Option(help="Only those for this event.")] = None,
    last: Last = None,
) -> None:
    """Prompts for events and webhooks; without a command they are listed by name.

    Examples:
    $ runwright automation triggers
    """
    if context.invoked_subcommand is None:
        _TRIGGERS.list(remote, last, scope=scope, workspace_id=workspace, source=source, event=event)


@app.command()
@writes
@takes_definition(TriggerFields, new=True)
def create(remote: Remote, *, body: Thing, secret: Secret = None) -> None:
    r"""Create a trigger. The secret of a webhook may also be in RUNWRIGHT_WEBHOOK_SECRET.

    Examples:
    $ runwright automation triggers create --name failures --scope global --agent tidy \
      --event ava.job.failed --prompt "Why did {{ .Data.job_id }} fail?"
    """
    known = os.environ.get(WEBHOOK_SECRET) if secret is None else None
    _TRIGGERS.create(remote, body | ({_SECRET: known} if known else _given(secret)))


_TRIGGERS.add_get(app)


@app.command()
@writes
@takes_definition(TriggerFields, new=False)
def update(remote: Remote, *, trigger_id: Id, body: Thing, secret: Secret = None) -> None:
    """Change a trigger; fields that are not given stay unchanged.

    Examples:
    $ runwright automation triggers update trg-5f2c --enabled=false
    """
    _TRIGGERS.change(remote, trigger_id, body | _given(secret))


_TRIGGERS.add_delete(app)


_TRIGGERS.add_history(app)
