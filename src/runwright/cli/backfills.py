"""`runwright schedules backfill`: fire what a schedule has not fired in a window of the past."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.cli.exits import CommandError, ExitCode
from runwright.cli.progress import progress_bar
from runwright.cli.refs import find_schedule
from runwright.cli.remote import DryRun, Remote, writes
from runwright.cli.terminal import note
from runwright.cli.times import parse_moment

if TYPE_CHECKING:
    from runwright.client.models.schedules import BackfillInfo

_LOOK_SECONDS: Final = 0.25


@writes
def backfill(
    remote: Remote,
    *,
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="A name, an id, or the end of one.")],
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="Such as 7d, or 2026-05-01T00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="By default now.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Fire what a schedule has not fired in a window of the past, each firing once.

    Examples:
    $ runwright schedules backfill nightly --from 7d --dry-run
    """
    now = datetime.now(UTC)
    begin = parse_moment("--from", since, now)
    end = None if until is None else parse_moment("--to", until, now)
    found = find_schedule(remote.client, schedule)
    counted = remote.client.schedules.backfill(found.id, begin, end, dry_run=True)
    if dry_run or not counted.matched:
        remote.output.thing(counted, lambda: _count_text(counted))
        return
    remote.confirm(f"{_count_text(counted)}. Fire them?")
    started = remote.writer.schedules.backfill(found.id, begin, end)
    try:
        ended = _watch(remote, started)
    except KeyboardInterrupt:
        note("\nDetached; the backfill continues on the server.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    remote.output.thing(ended, lambda: f"{ended.done} fired, {ended.skipped} skipped, {ended.failed} failed")
    if ended.failed or ended.status != "completed":
        raise CommandError(ended.error or f"The backfill is {ended.status}.", ExitCode.FAILED)


def _count_text(counted: "BackfillInfo") -> str:
    if counted.first is None or counted.last is None:
        return "Nothing was missed"
    first, last = f"{counted.first:%Y-%m-%d %H:%M}", f"{counted.last:%Y-%m-%d %H:%M}"
    return f"{counted.matched} firings from {first} to {last}"


def _watch(remote: Remote, operation: "BackfillInfo") -> "BackfillInfo":
    with progress_bar("firing", operation.matched) as draw:
        while operation.status == "running" and operation.id is not None:
            draw(operation.done + operation.skipped + operation.failed)
            time.sleep(_LOOK_SECONDS)
            operation = remote.client.schedules.get_backfill(operation.schedule_id, operation.id)
    return operation
