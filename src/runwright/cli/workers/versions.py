"""`runwright workers versions` and `diff`."""

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runwright.cli.arguments import WorkerRef
from runwright.cli.exits import UsageError
from runwright.cli.output import Column
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import painter, shown
from runwright.cli.times import ago, bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.workers import FileDiffInfo, VersionDiffInfo, VersionInfo

_STYLES: Final = {"ready": "", "building": "cyan", "failed": "red"}
_DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


@reads
def versions(
    remote: Remote,
    *,
    worker: WorkerRef,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most to show; 0: all.")] = 20,
) -> None:
    """List the versions of a worker's code, the newest first; the one that serves has a mark.

    Examples:
    $ runwright workers versions digest
    """
    found = islice(remote.client.workers.versions(worker), limit or None)
    remote.output.rows(found, _columns(datetime.now(UTC)), empty=f"{worker} has no code yet.")


def _columns(now: datetime) -> "Sequence[Column[VersionInfo]]":
    return (
        Column("", lambda one: "●" if one.active else "", style=lambda _: "green", mark=True),
        Column("VERSION", lambda one: f"v{one.version}", right=True),
        Column("STATUS", lambda one: one.status, style=lambda one: _STYLES.get(one.status, "")),
        Column("AGE", lambda one: ago(one.created_at, now), right=True),
        Column("FILES", lambda one: "" if one.files is None else f"{one.files}", right=True),
        Column("SIZE", lambda one: "" if one.size_bytes is None else bytes_text(one.size_bytes), right=True),
        Column("BY", lambda one: one.author or one.created_by, flexible=True),
        Column("MESSAGE", lambda one: one.error or one.message or "", flexible=True),
        Column("DIGEST", lambda one: one.digest or "", wide=True),
    )


@reads
def diff(
    remote: Remote,
    *,
    worker: WorkerRef,
    old: Annotated[
        str | None, typer.Argument(metavar="[FROM]", help="A version: 3 or v3. Default: the one before.")
    ] = None,
    new: Annotated[str | None, typer.Argument(metavar="[TO]", help="By default the one that serves.")] = None,
) -> None:
    """Show what differs between two versions of a worker's code.

    After a rollback to the first version it is that one and the newest.

    Examples:
    $ runwright workers diff digest 1 2
    """
    to = read_version(new) if new is not None else remote.client.workers.get(worker).version
    start = read_version(old) if old is not None else None
    if start is None and new is None and (newer := _newest_if_first(remote, worker, to)) is not None:
        start, to = to, newer
    if start is None:
        start = previous_version(remote, worker, to)
    found = remote.client.workers.diff(worker, start, to)
    remote.output.thing(found, lambda: _described(found))


def read_version(text: str) -> int:
    """Return the number of a version, which may be written as `v3`."""
    digits = text.removeprefix("v")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) == 0:  # noqa: PLR2004  of the API
        raise UsageError(f"{text!r} is no version.", hint="Write 3 or v3.")
    return int(digits)


def _newest_if_first(remote: Remote, worker: str, serving: int) -> int | None:
    """Return the newest version that could serve, where none before the one that serves could."""
    able = [
        one.version
        for one in remote.client.workers.versions(worker)
        if one.status == "ready" and one.size_bytes is not None
    ]
    return max(able) if able and min(able) == serving < max(able) else None


def previous_version(remote: Remote, worker: str, version: int) -> int:
    """Return the newest version before another that could serve."""
    for one in remote.client.workers.versions(worker):
        if one.version < version and one.status == "ready" and one.size_bytes is not None:
            return one.version
    raise UsageError(
        f"{worker} has no version before v{version}.", hint=f"runwright workers versions {worker}"
    )


def _described(found: "VersionDiffInfo") -> str:
    paint = painter(sys.stdout)
    if not found.files:
        return f"v{found.old} and v{found.new} have the same files."
    blocks = [_file_text(file) for file in found.files]
    more = [paint("dim", f"and {found.total - len(found.files)} more files")] if found.truncated else []
    return "\n".join([*blocks, *more])


def _file_text(file: "FileDiffInfo") -> str:
    paint = painter(sys.stdout)
    if file.diff is None:
        return f"{paint('bold', shown(file.path, sys.stdout))}  {file.change}, {file.omitted or 'no text'}"
    lines = shown(file.diff.rstrip("\n"), sys.stdout).split("\n")
    return "\n".join(_diff_line(line) for line in lines)


def _diff_line(line: str) -> str:
    style = "bold" if line.startswith(("+++", "---")) else _DIFF_STYLES.get(line[:1], "")
    return painter(sys.stdout)(style, line)
