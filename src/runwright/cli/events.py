"""`runwright events`: publish custom events, and read the log of events."""

import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.cli.apps import Commands
from runwright.cli.event_tail import Types, tail
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column, section
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.run import read_input
from runwright.cli.terminal import printable
from runwright.cli.times import clock, iso, parse_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.events import EventInfo, EventListOptions

app = Commands(COMMANDS["events"])

_PAGE: Final = 100


@app.command()
@writes
def publish(
    remote: Remote,
    *,
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="Such as custom.report.done.")],
    payload: Annotated[
        list[str] | None,
        typer.Option("--payload", "-i", metavar="KEY=VALUE", help="What it says; also @FILE and -."),
    ] = None,
) -> None:
    """Publish a custom event: webhooks, agents and automations that subscribe to it get it.

    Examples:
    $ runwright events publish custom.report.done -i rows=12
    """
    event = remote.writer.events.publish(type_, read_input(payload or []))
    remote.output.thing(event, lambda: f"{event.id} {event.type}")


@app.command("list")
@reads
def list_(
    remote: Remote,
    *,
    types: Types = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 1h.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """List what has happened, newest first.

    Examples:
    $ runwright events list --type 'custom.*' --since 1h
    """
    which: EventListOptions = {"per_page": min(limit, _PAGE)}
    if types is not None:
        which["type"] = types
    if since is not None:
        which["since"] = parse_moment("--since", since, datetime.now(UTC))
    found = islice(remote.client.events.list(**which), limit)
    remote.output.rows(found, _COLUMNS, empty="Nothing has happened.")


_COLUMNS: "Sequence[Column[EventInfo]]" = (
    Column("TIME", lambda one: iso(one.created_at)),
    Column("TYPE", lambda one: one.type, style=lambda _: "bold"),
    Column("ABOUT", lambda one: one.subject_id, flexible=True),
    Column("ID", lambda one: one.id, wide=True),
)


@app.command()
@reads
def get(
    remote: Remote, *, event: Annotated[str, typer.Argument(metavar="EVENT", help="The id of an event.")]
) -> None:
    """Show an event with all of its data.

    Examples:
    $ runwright events get evt_01jd9x3v7m0000000000000000
    """
    found = remote.client.events.get(event)
    remote.output.thing(found, lambda: _details(found))


def _details(event: "EventInfo") -> str:
    values = {
        "type": event.type,
        "about": event.subject_id,
        "worker": event.worker_id or "",
        "time": clock(event.created_at),
    }
    data = printable(json.dumps(event.data, indent=2, ensure_ascii=False))
    return f"{section(event.id, values)}\n{data}"


app.command()(tail)
