"""`runwright stats`: how the jobs of each worker went, and how many wait."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer

from runwright.cli.output import Column
from runwright.cli.remote import Remote, reads
from runwright.cli.times import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runwright.client.models.reports import PeriodInfo


class WorkerStats(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one worker."""

    worker: str
    runs: int
    failed: int
    failed_percent: float | None
    p50_ms: float | None
    p95_ms: float | None
    queued: int
    running: int


_SORTS: Final[dict[str, "Callable[[WorkerStats], float]"]] = {
    "runs": lambda one: one.runs,
    "failed": lambda one: one.failed_percent or 0,
    "p95": lambda one: one.p95_ms or 0,
    "queued": lambda one: one.queued,
}


@reads
def stats(
    remote: Remote,
    *,
    days: Annotated[int, typer.Option(min=1, max=365, help="Of how many days, today among them (UTC).")] = 7,
    sort: Annotated[
        Literal["runs", "failed", "p95", "queued"], typer.Option(help="The largest first.")
    ] = "runs",
) -> None:
    """Show how the jobs of each worker went, and how many wait.

    Examples:
    $ runwright stats
    $ runwright stats --days 30 --sort p95
    """
    rows = sorted(_read(remote, days), key=_SORTS[sort], reverse=True)
    columns: Sequence[Column[WorkerStats]] = (
        Column("WORKER", lambda one: one.worker, style=lambda _: "bold", flexible=True),
        Column("RUNS", lambda one: f"{one.runs:,}", right=True),
        Column("FAIL%", _percent, right=True, style=lambda one: "red" if one.failed else ""),
        Column("P50", lambda one: milliseconds(one.p50_ms), right=True),
        Column("P95", lambda one: milliseconds(one.p95_ms), right=True),
        Column("QUEUED", lambda one: f"{one.queued:,}", right=True),
        Column("RUNNING", lambda one: f"{one.running:,}", right=True),
    )
    remote.output.rows(rows, columns, empty=f"No job has ended in {days} days.")


def _percent(one: WorkerStats) -> str:
    return "" if one.failed_percent is None else f"{one.failed_percent:.1f}"


def _read(remote: Remote, days: int) -> list[WorkerStats]:
    names = {worker.id: worker.name for worker in remote.client.workers.list()}
    live = {queue.worker_id: queue for queue in remote.client.queues.all().by_worker}
    ended = remote.client.analytics.report(days=days).by_worker
    found = []
    for worker_id in {**ended, **live}:
        jobs = remote.client.analytics.worker(worker_id, days=days).jobs
        queue = live.get(worker_id)
        found.append(
            WorkerStats(
                worker=names.get(worker_id, worker_id),
                runs=jobs.total,
                failed=jobs.failed,
                failed_percent=_failed_percent(jobs),
                p50_ms=jobs.p50_duration_ms,
                p95_ms=jobs.p95_duration_ms,
                queued=0 if queue is None else queue.queued,
                running=0 if queue is None else queue.running,
            )
        )
    return found


def _failed_percent(jobs: "PeriodInfo") -> float | None:
    return 100 * jobs.failed / jobs.total if jobs.total else None
