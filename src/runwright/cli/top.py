"""`runwright top`: queues, rates and running jobs, live in a terminal."""

import contextlib
import select
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from runwright.cli.exits import UsageError
from runwright.cli.live_lines import progress_text
from runwright.cli.output import Column, render_table
from runwright.cli.progress import redrawn
from runwright.cli.refs import short_id
from runwright.cli.remote import Remote, reads
from runwright.cli.terminal import painter, width_of
from runwright.cli.times import ago
from runwright.client.errors import ApiError

if TYPE_CHECKING:
    from runwright.client.models.jobs import JobInfo
    from runwright.client.models.reports import QueueListInfo

_MOST_WORKERS: Final = 8
_MOST_JOBS: Final = 10
_NAMED: Final = 100
_FORBIDDEN: Final = 403


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was read at one moment."""

    at: float
    queues: Any
    ended: int
    running: list[Any]
    names: dict[str, str]
    executors: Sequence[Any]
    """Of the whole server; none where the key is not the operator's."""


@reads
def top(
    remote: Remote,
    *,
    every: Annotated[
        float, typer.Option(min=0.5, max=60, metavar="SECONDS", help="How often it looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view, and end.")] = False,
) -> None:
    """Watch queues, rates and running jobs; q quits.

    The operator sees the server's executors, too.

    Examples:
    $ runwright top --once
    """
    if once:
        sys.stdout.write(_view(_sample(remote), None, remote) + "\n")
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal.", hint="runwright top --once")
    with _keys() as pressed, redrawn() as draw, contextlib.suppress(KeyboardInterrupt):
        before: Sample | None = None
        while True:
            now = _sample(remote, operator=before is None or bool(before.executors))
            draw(_view(now, before, remote))
            before = now
            if pressed(every) in {"q", "Q"}:
                return


def _executors(remote: Remote) -> Sequence[Any]:
    try:
        return remote.client.system().executors
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return ()


def _sample(remote: Remote, *, operator: bool = True) -> Sample:
    client = remote.client
    running = client.jobs.list(status="running", payloads=False, per_page=_MOST_JOBS)
    busiest = client.analytics.by_worker(days=1, sort="queued", limit=_NAMED)
    return Sample(
        at=time.monotonic(),
        queues=client.queues.all(),
        ended=client.analytics.report(days=1).jobs.total,
        running=list(islice(running, _MOST_JOBS)),
        names={one.worker_id: one.worker_name for one in busiest.workers},
        executors=_executors(remote) if operator else (),
    )


def _view(now: Sample, before: Sample | None, remote: Remote) -> str:
    paint = painter(sys.stdout)
    queues: QueueListInfo = now.queues
    rate = "" if before is None else f"   ended/s {_rate(now, before):.1f}"
    target = remote.target.profile or remote.target.url
    totals = f"queued {queues.total_queued:,}   running {queues.total_running:,}"
    head = f"{paint('bold', 'runwright')} {target}   {totals}{rate}"
    workers = sorted(queues.by_worker, key=lambda one: -(one.queued + one.running))[:_MOST_WORKERS]
    columns: Sequence[Column[Any]] = (
        Column("WORKER", lambda one: now.names.get(one.worker_id, one.worker_id), flexible=True),
        Column("QUEUED", lambda one: f"{one.queued:,}", right=True),
        Column("RUNNING", lambda one: f"{one.running:,}", right=True),
    )
    width = width_of(sys.stdout)
    parts = [head, *_executors_text(now.executors)]
    if workers:
        parts += ["", render_table(workers, columns, cut_to=width)]
    if now.running:
        jobs: list[JobInfo] = now.running
        parts += ["", render_table(jobs, job_columns(datetime.now(UTC)), cut_to=width)]
    return "\n".join(parts)


def job_columns(now: datetime) -> Sequence[Column["JobInfo"]]:
    """Return the columns of running jobs, which fit into 80 characters."""
    return (
        Column("JOB", lambda job: short_id(job.id, sys.stdout), style=lambda _: "dim"),
        Column("WORKER", lambda job: job.worker_name or job.worker_id, flexible=True),
        Column("ATTEMPT", lambda job: f"{job.attempt}", right=True),
        Column(
            "RUNS FOR", lambda job: "" if job.started_at is None else ago(job.started_at, now), right=True
        ),
        Column(
            "PROGRESS",
            lambda job: "" if job.progress is None else progress_text(job.progress),
            flexible=True,
        ),
    )


def _executors_text(executors: Sequence[Any]) -> Iterator[str]:
    """Yield how many executors there are, and how many of their slots are in use."""
    live = [one for one in executors if one["live"]]
    if executors:
        used, slots = sum(one["running"] for one in live), sum(one["slots"] for one in live)
        lost = f"   {len(executors) - len(live)} lost" if len(live) < len(executors) else ""
        yield f"executors {len(live)}   slots {used}/{slots}{lost}"


def _rate(now: Sample, before: Sample) -> float:
    return max(0, now.ended - before.ended) / max(now.at - before.at, 0.001)


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Yield a function that returns the key that is pressed within so many seconds, or nothing."""
    import termios  # noqa: PLC0415  not on every system
    import tty  # noqa: PLC0415  as above

    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)
