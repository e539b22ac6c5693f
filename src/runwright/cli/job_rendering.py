"""How jobs look in tables and on their own."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

from runwright.cli.live_lines import progress_text
from runwright.cli.output import Column, section
from runwright.cli.refs import short_id
from runwright.cli.terminal import painter
from runwright.cli.times import ago, clock, milliseconds
from runwright.core.job_state import JobStatus

if TYPE_CHECKING:
    from runwright.client.models.jobs import JobInfo

STYLES: Final[dict[str, str]] = {
    JobStatus.QUEUED: "dim",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
}
SYMBOLS: Final[dict[str, str]] = {
    JobStatus.QUEUED: "·",
    JobStatus.RUNNING: "▸",
    JobStatus.COMPLETED: "✓",
    JobStatus.FAILED: "✗",
    JobStatus.CANCELLED: "⊘",
}


def status_text(status: str) -> str:
    """Return a state with its symbol."""
    return f"{SYMBOLS.get(status, '?')} {status}"


def painted_status(status: str, stream: TextIO) -> str:
    """Return a state with its symbol, in its colour."""
    return painter(stream)(STYLES.get(status, ""), status_text(status))


def job_columns(now: datetime) -> Sequence[Column["JobInfo"]]:
    """Return the columns of a list of jobs."""
    return (
        Column("ID", lambda job: short_id(job.id, sys.stdout), style=lambda _: "dim"),
        Column("WORKER", lambda job: job.worker_name or job.worker_id, flexible=True),
        Column("STATUS", lambda job: status_text(job.status), style=lambda job: STYLES.get(job.status, "")),
        Column("AGE", lambda job: ago(job.created_at, now), right=True),
        Column("TIME", lambda job: milliseconds(job.duration_ms), right=True),
        Column("V", lambda job: f"{job.worker_version}", wide=True, right=True),
        Column("ATTEMPT", lambda job: f"{job.attempt}", wide=True, right=True),
        Column("TRIGGER", lambda job: job.trigger, wide=True),
        Column("CREATED", lambda job: clock(job.created_at), wide=True),
        Column("ERROR", error_text, flexible=True),
    )


def error_text(job: "JobInfo") -> str:
    """Return why a job did not complete, or that it was retried since."""
    if job.retried_as:
        return f"retried as {short_id(job.retried_as, sys.stdout)}"
    return "" if job.error is None else f"{job.error.code}: {job.error.message}"


def describe_job(job: "JobInfo") -> str:
    """Return a job for people, without its output."""
    values = {
        "status": status_text(job.status),
        "worker": f"{job.worker_name or job.worker_id} v{job.worker_version}",
        "created": f"{clock(job.created_at)} ({ago(job.created_at, datetime.now(UTC))} ago, {job.trigger})",
        "started": clock(job.started_at),
        "took": milliseconds(job.duration_ms),
        "attempt": f"{job.attempt} of {job.max_retries + 1}",
        "progress": "" if job.progress is None else progress_text(job.progress),
        "priority": f"{job.priority}",
        "scheduled": clock(job.scheduled_at),
        "retry of": job.retry_of or "",
        "retried as": job.retried_as or "",
        "schedule": job.schedule_id or "",
        "error": "" if job.error is None else f"{job.error.code}: {job.error.message}",
    }
    return section(f"Job {job.id}", values)
