"""`runwright jobs share`, `shares`, `unshare`, `sharing`: links that show one job to people without a key."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.cli.arguments import JobRef
from runwright.cli.exits import CommandError, ExitCode, UsageError
from runwright.cli.output import Column
from runwright.cli.refs import find_job_id, short_id
from runwright.cli.remote import Remote, reads, writes
from runwright.cli.terminal import note, painter
from runwright.cli.times import duration_text, require_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.shares import ShareInfo


_LONGEST: Final = timedelta(days=30)


class SharingSwitch(StrEnum):
    """Whether the tenant allows its jobs to be shared."""

    ON = "on"
    OFF = "off"


@writes
def share(
    remote: Remote,
    *,
    job: JobRef,
    ttl: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long the link works: 1h, 7d; 30d at most.")
    ] = "24h",
) -> None:
    """Print a link that shows a job to anyone who has it, live and read-only.

    State, input, output and log are shown, nothing else of the tenant. The tenant has to allow it.

    Examples:
    $ runwright jobs share job_01jd9x3v7m0000000000000000 --for 1h
    """
    duration = require_duration("--for", ttl)
    if duration > _LONGEST:
        raise UsageError(f"--for is at most 30d: {ttl!r}.", hint="Write 1h, 24h or 7d.")
    seconds = int(duration.total_seconds())
    made = remote.writer.shares.create(find_job_id(remote.client, job), ttl_seconds=seconds)
    remote.output.thing(made, lambda: made.url or "")
    note(f"{made.id} works for {duration_text(seconds)}", "dim")


@reads
def shares(remote: Remote, *, job: JobRef) -> None:
    """List the links that show a job.

    Examples:
    $ runwright jobs shares job_01jd9x3v7m0000000000000000
    """
    now = datetime.now(UTC)
    columns: Sequence[Column[ShareInfo]] = (
        Column("ID", lambda one: short_id(one.id, sys.stdout), style=lambda _: "dim"),
        Column("BY", lambda one: one.user_id, flexible=True),
        Column("LEFT", lambda one: duration_text((one.expires_at - now).total_seconds()), right=True),
    )
    found = remote.client.shares.list(find_job_id(remote.client, job))
    remote.output.rows(found, columns, empty="The job is not shared.")


@writes
def unshare(
    remote: Remote,
    *,
    job: JobRef,
    link: Annotated[
        str | None, typer.Argument(metavar="SHARE", help="An id, or the end of one. Default: all of the job.")
    ] = None,
) -> None:
    """Revoke a link that shows a job, or all of them.

    Examples:
    $ runwright jobs unshare job_01jd9x3v7m0000000000000000
    """
    job_id = find_job_id(remote.client, job)
    found = [one for one in remote.client.shares.list(job_id) if link is None or one.id.endswith(link)]
    if link is not None and not found:
        raise CommandError(f"The job has no share {link}.", ExitCode.NOT_FOUND)
    for one in found:
        remote.writer.shares.revoke(job_id, one.id)
    note(f"revoked {len(found)} {'link' if len(found) == 1 else 'links'}")


@writes
def sharing(
    remote: Remote,
    *,
    switch: Annotated[
        SharingSwitch | None, typer.Argument(metavar="on|off", help="Default: only show it.")
    ] = None,
) -> None:
    """Show or change whether the tenant allows its jobs to be shared.

    By default it does not. `off` ends all links that there are.

    Examples:
    $ runwright jobs sharing on
    """
    if switch is None:
        allowed = remote.client.shares.allowed()
    else:
        allowed = remote.writer.shares.allow(switch is SharingSwitch.ON)
    text = "jobs may be shared" if allowed else "jobs may not be shared"
    remote.output.thing(
        {"enabled": allowed}, lambda: f"{painter(sys.stdout)('bold', 'on' if allowed else 'off')}  {text}"
    )
