"""Tools about the figures of jobs."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from runwright.mcp.field_selection import select_fields
from runwright.mcp.results import ToolOutput, ToolResult
from runwright.mcp.tools import TOOLS, Parameters, ToolContext
from runwright.mcp.windows import Cursor, list_part
from runwright.mcp.workers import Worker


class Stats(Parameters, frozen=True, kw_only=True):
    """Which figures."""

    worker: Worker | UnsetType = UNSET
    days: Annotated[int, Meta(ge=1, le=90)] = 7
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Figures of jobs")
async def stats(context: ToolContext, parameters: Stats) -> ToolResult:
    """How the jobs of the last days ended (counts, failures by code, durations), and how many wait now."""
    rows: list[Any] = []
    if parameters.worker is UNSET:
        report, queue = (
            await context.api.analytics.report(days=parameters.days),
            await context.api.queues.all(),
        )
        live: dict[str, Any] = {"queued": queue.total_queued, "running": queue.total_running}
        workers = await context.api.analytics.by_worker(days=parameters.days, limit=_MOST_WORKERS)
        rows = [{"worker": one.worker_name} | select_fields(one, _WORKER) for one in workers.workers]
    else:
        report = await context.api.analytics.worker(parameters.worker, days=parameters.days)
        one = await context.api.queues.get(parameters.worker)
        live = {"queued": one.queued, "running": one.running}
    data = {"days": report.period_days, "jobs": select_fields(report.jobs, _TOTALS), "now": live}
    part, cursor = list_part(rows, parameters.cursor, beside=data)
    return ToolResult(
        f"{report.jobs.total} jobs ended in {report.period_days} days.",
        ToolOutput(data=data | ({"by_worker": part} if part else {}), next_cursor=cursor),
    )


_MOST_WORKERS: Final = 100
_WORKER: Final = (
    "total",
    "failed",
    "success_rate",
    "p50_duration_ms",
    "p95_duration_ms",
    "queued",
    "running",
    "oldest_due_at",
)
_TOTALS: Final = (
    "total",
    "completed",
    "failed",
    "cancelled",
    "success_rate",
    "avg_duration_ms",
    "p50_duration_ms",
    "p95_duration_ms",
    "p99_duration_ms",
    "by_trigger",
    "failures_by_code",
)
