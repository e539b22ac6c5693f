"""`runwright workers rollback`, `pause`, `resume` and `delete`."""

import sys
from typing import Annotated

import typer

from runwright.cli.arguments import WorkerRef
from runwright.cli.remote import DryRun, Remote, writes
from runwright.cli.terminal import argument, one_line, painter
from runwright.cli.workers.versions import previous_version, read_version


@writes
def rollback(
    remote: Remote,
    *,
    worker: WorkerRef,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="3 or v3. By default the newest one before.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Let another version serve, older or newer; jobs that start from now on run it.

    Examples:
    $ runwright workers rollback digest
    $ runwright workers rollback digest 1
    """
    before = remote.client.workers.get(worker)
    number = previous_version(remote, worker, before.version) if version is None else read_version(version)
    if dry_run:
        remote.output.thing(
            {"worker": before.name, "from": before.version, "to": number},
            lambda: f"would let {one_line(before.name)} v{number} serve instead of v{before.version}",
        )
        return
    now = remote.writer.workers.rollback(before.id, number)
    undo = f"undo: runwright workers rollback {argument(now.name)} {before.version}"
    done = f"{one_line(now.name)} serves v{now.version} (was v{before.version})"
    remote.output.thing(now, lambda: _done(done, undo))


@writes
def pause(remote: Remote, *, worker: WorkerRef) -> None:
    """Pause a worker: it takes no new jobs, and its schedules skip.

    Examples:
    $ runwright workers pause digest
    """
    found = remote.writer.workers.pause(worker)
    undo = f"runwright workers resume {argument(found.name)}"
    remote.output.thing(found, lambda: _done(f"{one_line(found.name)} is paused", undo))


@writes
def resume(remote: Remote, *, worker: WorkerRef) -> None:
    """Let a paused worker take jobs again.

    Examples:
    $ runwright workers resume digest
    """
    found = remote.writer.workers.resume(worker)
    remote.output.thing(found, lambda: _done(f"{one_line(found.name)} is active"))


@writes
def delete(remote: Remote, *, worker: WorkerRef, dry_run: DryRun = False) -> None:
    """Delete a worker: its queued jobs are cancelled, it takes no new ones; its jobs and logs stay.

    Examples:
    $ runwright workers delete digest --dry-run
    $ runwright workers delete digest -y
    """
    found = remote.client.workers.get(worker)
    if dry_run:
        remote.output.thing(found, lambda: f"would delete {one_line(found.name)} ({found.id})")
        return
    remote.confirm(f"{one_line(found.name)} and its queued jobs. Delete them for good?")
    gone = remote.writer.workers.delete(found.id)
    remote.output.thing(gone, lambda: _done(f"{one_line(gone.name)} is deleted"))


def _done(text: str, hint: str = "") -> str:
    paint = painter(sys.stdout)
    return f"{paint('green', '✓')} {text}{'   ' + paint('dim', hint) if hint else ''}"
