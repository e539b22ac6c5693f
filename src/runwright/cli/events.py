"""`runwright events`: publish custom events, and read the log of events."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

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
    from collections.abc import Iterator, Sequence

    from runwright.client.models.events import EventInfo

app = Commands(COMMANDS["events"])


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
    body = {"type": type_, "payload": read_input(payload or [])}
    event = remote.ask("POST", "/v1/ava/events", body)["data"]
    assert isinstance(event, dict)  # noqa: S101  as the API documents it
    remote.output.thing(event, lambda: f"{event['id']} {event['type']}")


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
    columns: Sequence[Column[dict[str, Any]]] = (
        Column("TIME", lambda one: str(one.get("created_at", ""))),
        Column("TYPE", lambda one: str(one.get("type", "")), style=lambda _: "bold"),
        Column("ABOUT", lambda one: str(one.get("subject_id") or ""), flexible=True),
        Column("ID", lambda one: str(one.get("id", "")), wide=True),
    )
    begin = None if since is None else iso(parse_moment("--since", since, datetime.now(UTC)))
    query = {"filter[type]": types, "filter[created_after]": begin}
    remote.output.rows(list(_rows(remote, query, limit)), columns, empty="Nothing has happened.")


def _rows(remote: Remote, query: "dict[str, str | None]", limit: int) -> "Iterator[dict[str, Any]]":
    cursor, left = None, limit
    while left > 0:
        page: dict[str, Any] = remote.get("/v1/ava/events", **query, per_page=min(left, 100), cursor=cursor)
        yield from page["data"][:left]
        left -= len(page["data"])
        cursor = page["pagination"].get("next_cursor")
        if cursor is None:
            return


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
