"""`runwright automation triggers`: prompts for events and webhooks."""

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
    switched,
)
from runwright.cli.automation.texts import (
    filter_body,
    limit_text,
    plain,
    retry_body,
    retry_text,
    section,
    table,
)
from runwright.cli.remote import Remote, Thing, asks_server

app = typer.Typer(help="Prompts for events and webhooks.", invoke_without_command=True)

Filter = Annotated[
    list[str] | None, typer.Option(help="path=value that events must have; repeatable.", show_default=False)
]
WebhookId = Annotated[str | None, typer.Option(help="wbh_…; made up if left out.", show_default=False)]
Slug = Annotated[str | None, typer.Option(help="How the webhook's path begins.", show_default=False)]
Secret = Annotated[
    str | None,
    typer.Option(
        envvar="RUNWRIGHT_WEBHOOK_SECRET", help="What deliveries are signed with.", show_default=False
    ),
]
NewSecret = Annotated[
    str | None, typer.Option(help="What deliveries are signed with from now on.", show_default=False)
]
Signature = Annotated[
    str | None,
    typer.Option(help="Whose form of signature: agh, github, stripe, standard.", show_default=False),
]


def _describe_trigger(trigger: Thing) -> str:
    """Return a trigger for people to read."""
    rows = [
        ("id", plain(trigger.get("id"))),
        ("scope", plain(trigger.get("scope"))),
        ("workspace", plain(trigger.get("workspace_id"))),
        ("agent", plain(trigger.get("agent_name"))),
        ("event", plain(trigger.get("event"))),
        ("filter", plain(trigger.get("filter"))),
        ("webhook", _webhook_path(trigger)),
        ("signature", plain(trigger.get("webhook_signature"))),
        ("enabled", plain(trigger.get("enabled"))),
        ("retry", retry_text(trigger.get("retry"))),
        ("fire limit", limit_text(trigger.get("fire_limit"))),
        ("source", plain(trigger.get("source"))),
        ("prompt", plain(trigger.get("prompt"))),
        ("created", plain(trigger.get("created_at"))),
        ("updated", plain(trigger.get("updated_at"))),
    ]
    return section(f"Trigger {plain(trigger.get('name'))}", rows)


def _webhook_path(trigger: Thing) -> str:
    """Return where deliveries go; the API leaves it to be put together."""
    slug, webhook_id = plain(trigger.get("endpoint_slug")), plain(trigger.get("webhook_id"))
    if not slug or not webhook_id:
        return ""
    workspace = plain(trigger.get("workspace_id"))
    place = f"workspaces/{workspace}" if trigger.get("scope") == Scope.WORKSPACE else "global"
    return f"/api/webhooks/{place}/{slug}--{webhook_id}"


def _trigger_table(triggers: Sequence[Thing]) -> str:
    header = ("ID", "NAME", "SCOPE", "EVENT", "AGENT", "ENABLED")
    return table(header, triggers, "id", "name", "scope", "event", "agent_name", "enabled")


_TRIGGERS: Final = Definitions("trigger", describe=_describe_trigger, table=_trigger_table)


@app.callback()
@asks_server
def list_(
    remote: Remote,
    *,
    context: typer.Context,
    scope: Scope | None = None,
    workspace: Workspace = None,
    source: Source | None = None,
    event: Annotated[str | None, typer.Option(help="Only those for this event.")] = None,
    last: Last = None,
) -> None:
    """List triggers by name."""
    if context.invoked_subcommand is None:
        _TRIGGERS.list(remote, last, scope=scope, workspace_id=workspace, source=source, event=event)


@app.command()
@asks_server
def create(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    name: Name,
    scope: ScopeOption,
    event: Annotated[str, typer.Option(help="The event it waits for; webhook for a webhook of its own.")],
    agent: Agent,
    prompt: Prompt,
    filter: Filter = None,
    webhook_id: WebhookId = None,
    endpoint_slug: Slug = None,
    webhook_secret_value: Secret = None,
    webhook_signature: Signature = None,
    workspace: Workspace = None,
    retry: Retry = None,
    enabled: Enabled = None,
) -> None:
    """Make a trigger."""
    body = changes(
        name=name,
        scope=scope,
        workspace_id=workspace,
        event=event,
        agent_name=agent,
        prompt=prompt,
        filter=filter_body(filter) if filter else None,
        webhook_id=webhook_id,
        endpoint_slug=endpoint_slug,
        webhook_secret_value=webhook_secret_value,
        webhook_signature=webhook_signature,
        retry=None if retry is None else retry_body(retry),
        enabled=switched(enabled),
    )
    _TRIGGERS.create(remote, body)


@app.command()
@asks_server
def get(remote: Remote, *, trigger_id: Id) -> None:
    """Show one trigger."""
    _TRIGGERS.get(remote, trigger_id)


@app.command()
@asks_server
def update(  # noqa: PLR0913  one per flag
    remote: Remote,
    *,
    trigger_id: Id,
    name: Annotated[str | None, typer.Option(show_default=False)] = None,
    event: Annotated[str | None, typer.Option(show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(show_default=False)] = None,
    prompt: Annotated[str | None, typer.Option(show_default=False)] = None,
    filter: Filter = None,
    webhook_id: WebhookId = None,
    endpoint_slug: Slug = None,
    webhook_secret_value: NewSecret = None,
    webhook_signature: Signature = None,
    workspace: Workspace = None,
    retry: Retry = None,
    enabled: Enabled = None,
) -> None:
    """Change a trigger; what is not given stays."""
    body = changes(
        name=name,
        workspace_id=workspace,
        event=event,
        agent_name=agent,
        prompt=prompt,
        filter=filter_body(filter) if filter else None,
        webhook_id=webhook_id,
        endpoint_slug=endpoint_slug,
        webhook_secret_value=webhook_secret_value,
        webhook_signature=webhook_signature,
        retry=None if retry is None else retry_body(retry),
        enabled=switched(enabled),
    )
    _TRIGGERS.change(remote, trigger_id, body)


@app.command()
@asks_server
def delete(remote: Remote, *, trigger_id: Id) -> None:
    """Delete a trigger and print what it was."""
    _TRIGGERS.delete(remote, trigger_id)


@app.command()
@asks_server
def history(
    remote: Remote,
    *,
    trigger_id: Id,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
) -> None:
    """List the runs of a trigger, the newest first."""
    _TRIGGERS.history(remote, trigger_id, status=status, since=since, until=until, last=last)
