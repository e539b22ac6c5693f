"""`runwright schedules`: jobs by the clock."""

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from runwright.cli.apps import Commands
from runwright.cli.arguments import WorkerRef
from runwright.cli.backfills import backfill
from runwright.cli.index import COMMANDS
from runwright.cli.output import Column, section
from runwright.cli.refs import find_schedule, short_id
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.run import read_input
from runwright.cli.terminal import one_line, painter
from runwright.cli.times import ago, duration_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runwright.client.models.schedules import ScheduleInfo, TickInfo

app = Commands(COMMANDS["schedules"])
app.command("backfill")(backfill)

ScheduleRef: TypeAlias = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="A name, an id, or the end of one.")
]


@app.command("list")
@reads
def list_(
    remote: Remote,
    *,
    worker: Annotated[str | None, typer.Option(metavar="WORKER", help="Only those of this worker.")] = None,
) -> None:
    """List schedules.

    Examples:
    $ runwright schedules list
    $ runwright schedules list --worker digest
    """
    names = {one.id: one.name for one in remote.client.workers.list(payloads=False)}
    chosen = None if worker is None else remote.client.workers.get(worker).id
    found = [one for one in remote.client.schedules.list() if chosen in {None, one.worker_id}]
    remote.output.rows(found, _columns(names, datetime.now(UTC)), empty="There are no schedules.")


def _columns(names: "Mapping[str, str]", now: datetime) -> "Sequence[Column[ScheduleInfo]]":
    return (
        Column("ID", lambda one: short_id(one.id, sys.stdout), style=lambda _: "dim"),
        Column("NAME", lambda one: one.name or "", style=lambda _: "bold", flexible=True),
        Column("WORKER", lambda one: names.get(one.worker_id, one.worker_id), flexible=True),
        Column("CRON", lambda one: one.cron),
        Column("ZONE", lambda one: one.timezone, flexible=True),
        Column("NEXT", lambda one: _next(one, now), right=True),
        Column(
            "MISSED", lambda one: f"{one.missed_count}" if one.missed_count else "", mark=True, right=True
        ),
        Column("LAST", lambda one: f"{ago(one.last_run_at, now)} ago" if one.last_run_at else "", wide=True),
    )


def _next(one: "ScheduleInfo", now: datetime) -> str:
    if not one.enabled:
        return "paused"
    return (
        "never" if one.next_run_at is None else f"in {duration_text((one.next_run_at - now).total_seconds())}"
    )


@app.command()
@reads
def get(remote: Remote, *, schedule: ScheduleRef) -> None:
    """Show a schedule.

    Examples:
    $ runwright schedules get nightly
    """
    found = find_schedule(remote.client, schedule)
    remote.output.thing(found, lambda: _details(found))


def _details(one: "ScheduleInfo") -> str:
    values = {
        "worker": one.worker_id,
        "cron": f"{one.cron}  {one.timezone}",
        "next": _next(one, datetime.now(UTC)),
        "last job": one.last_job_id or "",
        "catch up": one.catch_up,
        "overlap": one.overlap,
        "grace": f"{one.misfire_grace_seconds} s",
        "missed": f"{one.missed_count}",
        "made by": one.created_by,
    }
    return section(f"{one.name or ''}  {one.id}".strip(), values)


@app.command()
@writes
def create(
    remote: Remote,
    *,
    worker: WorkerRef,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields, such as '0 7 * * 1-5'.")],
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="An IANA name.")] = "UTC",
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="By which you find it again.")] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="The input of its jobs; also @FILE and -."),
    ] = None,
    catch_up: Annotated[
        Literal["none", "last"],
        typer.Option(help="After a time without a server: nothing, or the latest firing."),
    ] = "none",
    overlap: Annotated[
        Literal["allow", "skip"], typer.Option(help="While its last job is not over: fire too, or skip.")
    ] = "allow",
) -> None:
    """Create a schedule, and print its next firings.

    Examples:
    $ runwright schedules create digest '0 7 * * 1-5' --timezone Europe/Berlin --name morning
    """
    made = remote.writer.schedules.create(
        worker, cron, timezone, name=name, input=read_input(input_ or []), catch_up=catch_up, overlap=overlap
    )
    remote.output.thing(
        made, lambda: f"{painter(sys.stdout)('green', '✓')} {made.id}\n{_firings(remote, made, 3)}"
    )


@app.command("next")
@reads
def next_(
    remote: Remote,
    *,
    schedule: ScheduleRef,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many.")] = 10,
) -> None:
    """Show when a schedule fires next, in its zone, and where clocks change.

    Examples:
    $ runwright schedules next nightly -n 5
    """
    found = find_schedule(remote.client, schedule)
    preview = remote.client.schedules.preview(found.id, count)
    remote.output.thing(preview, lambda: _firings(remote, found, count))


def _called(one: "ScheduleInfo") -> str:
    return one_line(one.name or one.id)


def _firings(remote: Remote, schedule: "ScheduleInfo", count: int) -> str:
    firings = remote.client.schedules.preview(schedule.id, count).firings
    return "\n".join(f"{one.local}  {one.message or ''}".rstrip() for one in firings) or "It never fires."


@app.command()
@writes
def run(remote: Remote, *, schedule: ScheduleRef) -> None:
    """Fire a schedule now; its next firing stays as it is.

    Examples:
    $ runwright schedules run nightly
    """
    found = find_schedule(remote.client, schedule)
    job = remote.writer.schedules.run(found.id)
    remote.output.thing(job, lambda: f"job {job.id} is {job.status}; follow it: runwright logs {job.id} -f")


@app.command()
@writes
def pause(remote: Remote, *, schedule: ScheduleRef) -> None:
    """Pause a schedule; what it would have fired meanwhile is not made up for.

    Examples:
    $ runwright schedules pause nightly
    """
    found = remote.writer.schedules.pause(find_schedule(remote.client, schedule).id)
    remote.output.thing(found, lambda: f"{_called(found)} is paused")


@app.command()
@writes
def resume(remote: Remote, *, schedule: ScheduleRef) -> None:
    """Let a paused schedule fire again, from now on.

    Examples:
    $ runwright schedules resume nightly
    """
    found = remote.writer.schedules.resume(find_schedule(remote.client, schedule).id)
    remote.output.thing(found, lambda: f"{_called(found)} fires {_next(found, datetime.now(UTC))}")


@app.command()
@reads
def ticks(
    remote: Remote,
    *,
    schedule: ScheduleRef,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only these: fired, skipped, missed …")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most to show; 0: all.")] = 20,
) -> None:
    """List every firing that was due and what became of it, the latest first.

    Examples:
    $ runwright schedules ticks nightly
    """
    found = find_schedule(remote.client, schedule)
    rows = islice(remote.client.schedules.ticks(found.id, status=status), limit or None)
    remote.output.rows(rows, _TICK_COLUMNS, empty="It has not been due yet.")


_TICK_COLUMNS: "Sequence[Column[TickInfo]]" = (
    Column("DUE", lambda one: f"{one.scheduled_for:%Y-%m-%d %H:%M:%S}"),
    Column("STATUS", lambda one: one.status, style=lambda one: "" if one.status == "fired" else "yellow"),
    Column("LATE", lambda one: "" if one.late_ms is None else f"{one.late_ms} ms", right=True),
    Column("JOB", lambda one: "" if one.job_id is None else short_id(one.job_id, sys.stdout)),
    Column("BY", lambda one: one.origin, wide=True),
    Column("TIMES", lambda one: f"{one.count}", wide=True, right=True),
    Column("WHY", lambda one: one.message or one.reason or "", flexible=True),
)


@app.command()
@writes
def delete(remote: Remote, *, schedule: ScheduleRef) -> None:
    """Delete a schedule and its ticks; its jobs are kept.

    Examples:
    $ runwright schedules delete nightly -y
    """
    found = find_schedule(remote.client, schedule)
    remote.confirm(f"The schedule {_called(found)} ({found.cron}). Delete it for good?")
    remote.writer.schedules.delete(found.id)
    remote.output.thing({"id": found.id, "deleted": True}, lambda: f"{found.id} is deleted")
