"""Tools about automations."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from runwright.mcp.field_selection import all_fields, select_fields
from runwright.mcp.grants import Grant
from runwright.mcp.results import ToolOutput, ToolResult
from runwright.mcp.tools import TOOLS, Parameters, ToolContext
from runwright.mcp.windows import Cursor, list_part


class TriggerAutomation(Parameters, frozen=True, kw_only=True):
    """Which automation."""

    job_id: (
        Annotated[str, Meta(description="The id of an automation's job; without it they are listed.")]
        | UnsetType
    ) = UNSET
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Run an automation now", Grant.RUN, destructive=True)
async def trigger_automation(context: ToolContext, parameters: TriggerAutomation) -> ToolResult:
    """Fire an automation's job now, and return its run; without `job_id` list the jobs."""
    if parameters.job_id is UNSET:
        jobs = [
            select_fields(job, ("id", "name", "agent_name", "enabled", "next_run"))
            async for job in context.api.automations.jobs.list()
        ]
        part, cursor = list_part(jobs, parameters.cursor)
        return ToolResult(f"{len(jobs)} automations.", ToolOutput(data=part, next_cursor=cursor))
    run = await context.api.automations.jobs.trigger(parameters.job_id)
    return ToolResult(f"Run {run.id} is {run.status}.", ToolOutput(data=all_fields(run)))
