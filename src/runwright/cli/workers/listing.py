"""`runwright workers list` and `get`."""

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from runwright.cli.arguments import WorkerRef
from runwright.cli.output import Column, section
from runwright.cli.refs import short_id
from runwright.cli.remote import Remote, reads
from runwright.cli.times import ago, duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.client.models.workers import WorkerInfo, WorkerListing

STYLES: Final = {"active": "green", "paused": "yellow", "deprecated": "dim"}


@reads
def list_(
    remote: Remote,
    *,
    status: Annotated[
        str | None, typer.Option("--status", "-s", metavar="STATE", help="active, paused or deprecated.")
    ] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="With this text in their name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="The most to show; 0: all.")] = 100,
) -> None:
    """List workers, the newest first.

    Examples:
    $ runwright workers list
    $ runwright workers list --status paused -o json
    """
    which: WorkerListing = {"payloads": not remote.output.is_table}
    if status is not None:
        which["status"] = status
    if search is not None:
        which["q"] = search
    listing = remote.client.workers.list(**which)
    rows = (one for one in listing if status or one.status != "deprecated")
    remote.output.rows(
        islice(rows, limit or None),
        _columns(datetime.now(UTC)),
        empty="There are no workers yet. Make one: runwright init DIR",
    )


def _columns(now: datetime) -> "Sequence[Column[WorkerInfo]]":
    return (
        Column("NAME", lambda one: one.name, style=lambda _: "bold", flexible=True),
        Column("RUNTIME", runtime_text),
        Column("VERSION", lambda one: f"v{one.version}", right=True),
        Column("STATUS", lambda one: one.status, style=lambda one: STYLES.get(one.status, "")),
        Column("TIMEOUT", lambda one: duration_text(one.timeout_seconds), right=True),
        Column("MEMORY", lambda one: f"{one.memory_mb} MB", wide=True, right=True),
        Column("RETRIES", lambda one: f"{one.max_retries}", wide=True, right=True),
        Column("NETWORK", lambda one: network_text(one.network), wide=True),
        Column("CHANGED", lambda one: ago(one.updated_at, now), right=True),
        Column("ID", lambda one: short_id(one.id, sys.stdout), style=lambda _: "dim"),
    )


@reads
def get(remote: Remote, *, worker: WorkerRef) -> None:
    """Show a worker and its settings.

    Examples:
    $ runwright workers get digest
    """
    found = remote.client.workers.get(worker)
    remote.output.thing(found, lambda: _described(found))


def _described(worker: "WorkerInfo") -> str:
    values = {
        "id": worker.id,
        "status": worker.status,
        "runtime": runtime_text(worker),
        "version": f"v{worker.version}, {worker.entrypoint}",
        "about": worker.description or "",
        "timeout": duration_text(worker.timeout_seconds),
        "memory": f"{worker.memory_mb} MB",
        "retries": f"{worker.max_retries}",
        "at once": "" if worker.max_concurrency is None else f"{worker.max_concurrency}",
        "network": network_text(worker.network),
        "secrets": ", ".join(worker.secrets),
        "config": ", ".join(f"{name}={_text(value)}" for name, value in worker.config.items()),
        "changed": f"{ago(worker.updated_at, datetime.now(UTC))} ago, made by {worker.created_by}",
    }
    return section(worker.name, values)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def runtime_text(worker: "WorkerInfo") -> str:
    """Return a worker's runtime, with the version that it has chosen."""
    return " ".join(filter(None, [worker.runtime, worker.runtime_version]))


def network_text(network: object) -> str:
    """Return what a worker may reach."""
    return ", ".join(network.get("allow", ())) if isinstance(network, dict) else str(network)
