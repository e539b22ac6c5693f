"""`runwright webhooks`: URLs that get the tenant's events."""

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from runwright.cli.apps import Commands
from runwright.cli.exits import CommandError, ExitCode
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column
from runwright.cli.refs import find_webhook, short_id
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.terminal import painter
from runwright.cli.times import ago
from runwright.cli.webhook_listener import listen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.webhooks import DeliveryInfo, WebhookInfo, WebhookTestInfo

app = Commands(COMMANDS["webhooks"])

WebhookRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="A URL, an id, or the end of one.")
]


@app.command("list")
@reads
def list_(remote: Remote) -> None:
    """List webhooks.

    Examples:
    $ runwright webhooks list
    """
    columns: Sequence[Column[WebhookInfo]] = (
        Column("ID", lambda one: short_id(one.id, sys.stdout), style=lambda _: "dim"),
        Column("URL", lambda one: one.url, flexible=True),
        Column("EVENTS", lambda one: " ".join(one.events), flexible=True),
        Column(
            "STATUS", lambda one: one.status, style=lambda one: "" if one.status == "active" else "yellow"
        ),
        Column("WHY", lambda one: one.status_reason or "", wide=True),
    )
    remote.output.rows(remote.client.webhooks.list(), columns, empty="There are no webhooks.")


@app.command()
@writes
def create(
    remote: Remote,
    *,
    endpoint: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent.")],
    events: Annotated[
        list[str] | None,
        typer.Option("--event", "-e", metavar="TYPE", help="Such as job.failed or job.*; by default all."),
    ] = None,
) -> None:
    """Create a webhook. The secret that signs its deliveries is printed once.

    Examples:
    $ runwright webhooks create https://hooks.example.com/failures -e job.failed
    """
    made = remote.writer.webhooks.create(endpoint, [_full_type(one) for one in events or ["*"]])
    remote.output.thing(made, lambda: f"{painter(sys.stdout)('green', '✓')} {made.id}\nsecret: {made.secret}")


@app.command()
@writes
def test(remote: Remote, *, webhook: WebhookRef) -> None:
    """Send a test event now, once, and show the answer.

    Examples:
    $ runwright webhooks test https://hooks.example.com/runwright
    """
    outcome = remote.writer.webhooks.test(find_webhook(remote.client, webhook).id)
    remote.output.thing(outcome, lambda: _outcome(outcome))
    if not outcome.success:
        raise CommandError("The test event was not accepted.", ExitCode.FAILED)


def _full_type(name: str) -> str:
    """Return the type of an event, whose `ava.` people may leave out."""
    return name if name.startswith(("ava.", "custom.", "*")) else f"ava.{name}"


def _outcome(outcome: "WebhookTestInfo") -> str:
    answer = outcome.error or f"answered {outcome.response_status}"
    return f"{answer} in {outcome.duration_ms} ms"


@app.command()
@reads
def deliveries(
    remote: Remote,
    *,
    webhook: WebhookRef,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="pending, delivered or abandoned.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most to show; 0: all.")] = 20,
) -> None:
    """List what was sent to a webhook, newest first.

    Examples:
    $ runwright webhooks deliveries https://hooks.example.com/runwright --status abandoned
    """
    found = find_webhook(remote.client, webhook)
    now = datetime.now(UTC)
    columns: Sequence[Column[DeliveryInfo]] = (
        Column("ID", lambda one: one.id, style=lambda _: "dim"),
        Column("EVENT", lambda one: one.event, flexible=True),
        Column(
            "STATUS", lambda one: one.status, style=lambda one: "red" if one.status == "abandoned" else ""
        ),
        Column("TRIES", lambda one: f"{one.attempt_count}", right=True),
        Column("AGE", lambda one: ago(one.created_at, now), right=True),
        Column("ANSWER", _last_answer, flexible=True),
    )
    rows = remote.client.deliveries.list(found.id, status=status)
    remote.output.rows(islice(rows, limit or None), columns, empty="Nothing was sent to it yet.")


def _last_answer(one: "DeliveryInfo") -> str:
    if not one.attempts:
        return ""
    last = one.attempts[-1]
    return last.error or f"{last.response_status}"


@app.command()
@writes
def redeliver(
    remote: Remote,
    *,
    webhook: WebhookRef,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="The id of a delivery.")],
) -> None:
    """Send a delivery again, now.

    Examples:
    $ runwright webhooks redeliver https://hooks.example.com/runwright dlv_01jz8y3v5n3q6r8s9t0v1w2x3y
    """
    found = find_webhook(remote.client, webhook)
    sent = remote.writer.deliveries.redeliver(found.id, delivery)
    remote.output.thing(sent, lambda: f"{sent.id} is {sent.status}")


@app.command()
@writes
def delete(remote: Remote, *, webhook: WebhookRef) -> None:
    """Delete a webhook and its deliveries.

    Examples:
    $ runwright webhooks delete https://hooks.example.com/runwright -y
    """
    found = find_webhook(remote.client, webhook)
    remote.confirm(f"The webhook to {found.url}. Delete it and its deliveries?")
    remote.writer.webhooks.delete(found.id)
    remote.output.thing({"id": found.id, "deleted": True}, lambda: f"{found.id} is deleted")


app.command()(listen)
