"""`runwright stats`: how the jobs of each worker went, and how many wait."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from runwright.cli.output import Column
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import note
from runwright.cli.times import ago, milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runwright.client.models.reports import WorkerTotalsInfo
    from runwright.client.reports import WorkerOrderName

_ORDERS: Final["Mapping[str, WorkerOrderName]"] = {
    "runs": "total",
    "failed": "failure_rate",
    "p95": "p95_duration",
    "queued": "queued",
}


@reads
def stats(
    remote: Remote,
    *,
    by: Annotated[  # noqa: ARG001  there is one way now, and room for others
        Literal["worker"], typer.Option(help="A row for each.")
    ] = "worker",
    days: Annotated[int, typer.Option(min=1, max=90, help="Of how many days, today among them (UTC).")] = 7,
    sort: Annotated[
        Literal["runs", "failed", "p95", "queued"], typer.Option(help="The largest first.")
    ] = "runs",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The most to show.")] = 100,
) -> None:
    """Show how the jobs of each worker went, and how many wait.

    Examples:
    $ runwright stats
    $ runwright stats --days 30 --sort p95
    """
    found = remote.client.analytics.by_worker(days=days, sort=_ORDERS[sort], limit=limit)
    remote.output.rows(found.workers, _columns(), empty=f"No job has ended in {days} days.")
    if found.total > len(found.workers):
        note(f"and {found.total - len(found.workers):,} more workers; all: --limit {found.total}", "dim")


def _columns() -> "Sequence[Column[WorkerTotalsInfo]]":
    now = datetime.now(UTC)
    return (
        Column("WORKER", lambda one: one.worker_name, style=lambda _: "bold", flexible=True),
        Column("RUNS", lambda one: f"{one.total:,}", right=True),
        Column("FAIL%", _percent, right=True, style=lambda one: "red" if one.failed else ""),
        Column("P50", lambda one: milliseconds(one.p50_duration_ms), right=True),
        Column("P95", lambda one: milliseconds(one.p95_duration_ms), right=True),
        Column("P99", lambda one: milliseconds(one.p99_duration_ms), right=True, wide=True),
        Column("QUEUED", lambda one: f"{one.queued:,}", right=True),
        Column("RUNNING", _running, right=True),
        Column("OLDEST", lambda one: ago(one.oldest_due_at, now), right=True, mark=True),
    )


def _percent(one: "WorkerTotalsInfo") -> str:
    return f"{100 * one.failed / one.total:.1f}" if one.total else ""


def _running(one: "WorkerTotalsInfo") -> str:
    """Return how many jobs run, of how many that may at once."""
    return f"{one.running:,}" + ("" if one.max_concurrency is None else f"/{one.max_concurrency}")
