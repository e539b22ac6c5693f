"""Tools about schedules."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from runwright.mcp.field_selection import select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult
from runwright.mcp.tools import TOOLS, Parameters, ToolContext, ToolError
from runwright.mcp.windows import PageParameters, list_page
from runwright.mcp.workers import Worker

Cron = Annotated[str, Meta(max_length=200, description="A cron expression with five fields.")]
Timezone = Annotated[str, Meta(max_length=100, description="An IANA name, as `Europe/Berlin`.")]

_SCHEDULE: Final = (
    "id",
    "name",
    "worker_id",
    "cron",
    "timezone",
    "input",
    "enabled",
    "next_run_at",
    "last_run_at",
    "last_job_id",
    "missed_count",
)


class ListSchedules(PageParameters, frozen=True, kw_only=True):
    """Which schedules."""

    worker_id: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


@TOOLS.add("List schedules")
async def list_schedules(context: ToolContext, parameters: ListSchedules) -> ToolResult:
    """List the schedules that start jobs, with their next firings."""
    which = parameters.given("worker_id", "enabled")
    return await list_page(
        "schedules", lambda rows: context.api.schedules.list(**which, per_page=rows), parameters, _SCHEDULE
    )


class PreviewCron(Parameters, frozen=True, kw_only=True):
    """Which expression."""

    cron: Cron
    timezone: Timezone = "UTC"
    count: Annotated[int, Meta(ge=1, le=50)] = 5


@TOOLS.add("Preview a cron expression")
async def preview_cron(context: ToolContext, parameters: PreviewCron) -> ToolResult:
    """When a cron expression would fire next, in a time zone, and what it means."""
    found = await context.api.schedules.preview_expression(
        parameters.cron, parameters.timezone, parameters.count
    )
    firings = [select_fields(firing, ("at", "local", "note")) for firing in found.firings]
    data = select_fields(found, ("cron", "timezone")) | {"firings": firings}
    return ToolResult("The next firings.", ToolOutput(data=data))


class SetSchedule(Parameters, frozen=True, kw_only=True):
    """Which schedule, and what it shall be."""

    worker: Worker
    cron: Cron
    timezone: Timezone = "UTC"
    schedule_id: (
        Annotated[str, Meta(description="The schedule to change; without it one is created.")] | UnsetType
    ) = UNSET
    name: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    input: dict[str, Any] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


@TOOLS.add("Set a schedule", Grant.DEPLOY, destructive=True)
async def set_schedule(context: ToolContext, parameters: SetSchedule) -> ToolResult:
    """Create a schedule that starts a worker's jobs, or change one."""
    options = parameters.given("name", "input", "enabled")
    if parameters.schedule_id is UNSET:
        made = await context.api.schedules.create(
            parameters.worker, parameters.cron, parameters.timezone, **options
        )
        return ToolResult(f"Schedule {made.id} was created.", ToolOutput(data=select_fields(made, _SCHEDULE)))
    before = await context.api.schedules.get(parameters.schedule_id)
    worker = await context.api.workers.get(parameters.worker)
    if before.worker_id != worker.id:
        raise ToolError("This schedule is of another worker, which cannot be changed. Create a new one.")
    changed = await context.api.schedules.update(
        before.id, cron=parameters.cron, timezone=parameters.timezone, **options
    )
    return ToolResult(
        f"Schedule {changed.id} was changed.", ToolOutput(data=select_fields(changed, _SCHEDULE))
    )
